//! Testkit: what the HSSs of the field lose, and what one of them adds.

use hss_client::user_data::{InitialFilterCriterion, SessionCase};

use super::*;

#[test]
fn pyhss_without_its_worker_answers_nothing_and_then_only_what_is_younger_than_three_seconds() {
    both(|personality, mut bench| {
        bench.hss.pause();
        let old = bench.encode(&uar(UserAuthorizationType::Registration));
        bench.send(1, old);
        assert_eq!(bench.wait(Duration::from_secs(2)).len(), 0);
        let dwr = bench.client.dwr(&mut bench.ids);
        bench.send(1, dwr);
        assert_eq!(bench.wait(Duration::from_millis(1_001)).len(), 0);
        let now = bench.now;
        bench.hss.resume(now);
        let codes: Vec<_> = bench.answers().iter().map(|m| m.header().code).collect();
        assert_eq!(codes, [280], "{personality:?}: the UAR is gone for good");
        bench.uar(UserAuthorizationType::Registration);
    });
}

#[test]
fn connection_to_a_pyhss_without_its_worker_is_up_but_has_no_cea() {
    both(|_, mut bench| {
        bench.hss.pause();
        let connected = DiameterInput::Connected {
            connection: ConnectionId(2),
            attempt: None,
            local: ([192, 0, 2, 5], 3868).into(),
            remote: ([192, 0, 2, 4], 40_001).into(),
        };
        bench.hss.handle(bench.now, NetInput::Diameter(connected));
        let cer = bench.client.cer(&mut bench.ids, IpAddr::V4(Ipv4Addr::LOCALHOST));
        bench.send(2, cer);
        assert_eq!(bench.wait(Duration::from_secs(10)).len(), 0);
        assert_eq!(bench.closed, []);
    });
}

#[test]
fn pyhss_reads_no_message_of_more_than_a_hundred_avps() {
    both(|personality, mut bench| {
        for (more, is_answered) in [(80, true), (100, false)] {
            let uar = bench.encode(&uar(UserAuthorizationType::Registration));
            let uar = Message::parse(uar).unwrap();
            let mut builder = MessageBuilder::new(*uar.header());
            builder.raw(&uar.bytes()[Header::LEN..]);
            for _ in 0..more {
                builder.text(&avp::ERROR_MESSAGE, "-");
            }
            bench.send(1, builder.finish());
            let count = bench.answers().len();
            assert_eq!(count == 1, is_answered, "{personality:?} {more}");
        }
    });
}

fn criteria(sms_over_ims: Option<String>) -> Vec<InitialFilterCriterion> {
    let mut bench = Bench::with(Personality::Open5gs, sms_over_ims);
    bench.uar(UserAuthorizationType::Registration);
    let saa = bench.sar(ServerAssignmentType::Registration, SCSCF);
    let mut profile = user_data::parse(&saa.user_data.unwrap()).unwrap();
    profile.profiles.remove(0).filter_criteria
}

#[test]
fn open5gs_adds_a_criterion_for_short_messages_when_it_is_told_to() {
    assert_eq!(criteria(None), []);
    let criteria = criteria(Some("sip:ipsmgw.example".into()));
    let [sms] = &*criteria else {
        panic!("{criteria:?}");
    };
    assert_eq!(sms.priority, 2);
    assert_eq!(sms.application_server.server_name, "sip:ipsmgw.example");
    let trigger = format!("{:?}", sms.trigger_point);
    for part in ["MESSAGE", "Content-Type", "application/vnd.3gpp.sms"] {
        assert!(trigger.contains(part), "{trigger}");
    }
    let case = format!("{:?}", SessionCase::OriginatingRegistered);
    assert!(trigger.contains(&case), "{trigger}");
}
