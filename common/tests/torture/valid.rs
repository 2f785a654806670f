//! Testkit: well-formed messages that look as if they were not (RFC 4475 3.1.1).

use ims_common::sip::{Contacts, HeaderName, Method, Scheme, StatusCode};

use crate::{request, response, valid};

/// RFC 4475 3.1.1.1
#[test]
fn a_short_tortuous_invite() {
    let invite = valid(
        "INVITE sip:b.user@rack.example.com;unknownparam SIP/2.0\nTO :\n sip:b.user@rack.example.com ;   tag    = 1918181833n\n\
         from   : \"A User \\\\\\\"\"       <sip:auser@example.com>\n  ;\n  tag = 98asjd8\nMaX-fOrWaRdS: 0068\n\
         Call-ID: wsinv.ndaksdj@192.0.2.1\nContent-Length   : 4\ncseq: 0009\n  INVITE\nVia  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\ns :\n\
         NewFangledHeader:   newfangled value\n continued newfangled value\nUnknownHeaderWithUnusualValue: ;;,,;;,;\n\
         Content-Type: application/sdp\nRoute:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\n\
         v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n SIP  /    2.0   / UDP  192.0.2.111   ; branch=\n z9hG4bK30239\n\
         m:\"Quoted string \\\"\\\"\" <sip:auser@example.com> ; newparam =\n      newvalue ;\n  secondparam ; q = 0.33\n\nv=0\n",
    );
    assert_eq!(invite.method(), Method::Invite);
    assert_eq!(invite.to().unwrap().tag(), Some(&b"1918181833n"[..]));
    assert_eq!(invite.from().unwrap().display_unquoted().as_ref(), b"A User \\\"");
    assert_eq!(invite.max_forwards(), Some(68));
    assert_eq!(invite.cseq().unwrap().number, 9);
    assert_eq!(invite.values(HeaderName::Via).count(), 3);
    assert_eq!(invite.top_via().unwrap().branch(), Some(&b"390skdjuw"[..]));
    assert_eq!(invite.header(HeaderName::Subject), Some(&b""[..]));
    assert_eq!(
        invite.header_named("unknownheaderwithunusualvalue"),
        Some(&b";;,,;;,;"[..])
    );
    let Contacts::List(contacts) = invite.contacts().unwrap() else {
        panic!("a list");
    };
    assert_eq!(
        (contacts[0].q(), contacts[0].param("secondparam")),
        (Some(330), Some(None))
    );
    assert_eq!(invite.body(), b"v=0\r");
}

/// RFC 4475 3.1.1.2
#[test]
fn a_wide_range_of_valid_characters() {
    let odd = valid(
        "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\n\
         Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\n\
         To: \"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>\n\
         From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u{440}\u{430}\u{431}\";tag=_token~1'+`*%!-.\n\
         Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\nCSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\n\
         Max-Forwards: 255\nextensionHeader-!.%*+_`'~:\u{feff}\u{5927}\u{505c}\u{96fb}\nContent-Length: 0\n\n",
    );
    assert!(matches!(odd.method(), Method::Other(_)));
    assert_eq!(
        odd.method().as_str(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    assert_eq!(odd.from().unwrap().display, b"token1~` token2'+_ token3*%!.-");
    assert_eq!(
        odd.to().unwrap().display_unquoted().as_ref(),
        b"BEL:\x07 NUL:\x00 DEL:\x7f"
    );
    assert!(odd.header_named("extensionheader-!.%*+_`'~").is_some());
}

/// RFC 4475 3.1.1.3, 3.1.1.4, 3.1.1.5
#[test]
fn escapes_and_what_only_looks_like_one() {
    let escaped = valid(
        "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\nTo: sip:%75se%72@example.com\nFrom: <sip:I%20have%20spaces@example.net>;tag=938\n\
         Max-Forwards: 87\ni: esc01.1\nCSeq: 1 INVITE\nVia: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw\nContact:\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\n\
         Content-Length: 0\n\n",
    );
    let uri = escaped.request_uri().unwrap();
    assert_eq!(uri.user_unescaped().unwrap().as_ref(), b"sips:user@example.com");
    // The escaped lr is another parameter than lr itself for whoever reads names as written.
    assert!(
        matches!(escaped.contacts().unwrap(), Contacts::List(list) if list[0].uri.param("%6c%72").is_some())
    );
    let nulls = valid(
        "REGISTER sip:example.com SIP/2.0\nTo: sip:null-%00-null@example.com\nFrom: sip:null-%00-null@example.com;tag=839923423\nMax-Forwards: 70\n\
         Call-ID: escnull.1\nCSeq: 14398234 REGISTER\nVia: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw\n\
         Contact: <sip:%00@host5.example.com>\nContact: <sip:%00%00@host5.example.com>\nL:0\n\n",
    );
    assert_eq!(
        nulls.to().unwrap().uri.user_unescaped().unwrap().as_ref(),
        b"null-\0-null"
    );
    assert!(matches!(nulls.contacts().unwrap(), Contacts::List(list) if list.len() == 2));
    let method = valid(
        "RE%47IST%45R sip:registrar.example.com SIP/2.0\nTo: \"%Z%45\" <sip:resource@example.com>\nFrom: \"%Z%45\" <sip:resource@example.com>;tag=f232jadfj23\n\
         Call-ID: esc02.1\nVia: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234\nCSeq: 29344 RE%47IST%45R\nMax-Forwards: 70\n\
         Contact: <sip:alias1@host1.example.com>\nC%6Fntact: <sip:alias2@host2.example.com>\nContact: <sip:alias3@host3.example.com>\nl: 0\n\n",
    );
    assert_ne!(method.method(), Method::Register);
    assert_eq!(method.headers(HeaderName::Contact).count(), 2);
}

/// RFC 4475 3.1.1.6
#[test]
fn a_display_name_right_before_its_bracket() {
    let options = valid(
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: caller<sip:caller@example.com>;tag=323\nMax-Forwards: 70\nCall-ID: lwsdisp.1\n\
         CSeq: 60 OPTIONS\nVia: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw\nl: 0\n\n",
    );
    assert_eq!(options.from().unwrap().display, b"caller");
}

/// RFC 4475 3.1.1.7
#[test]
fn long_values_in_every_place() {
    let (long, longer) = ("x".repeat(400), "y".repeat(2000));
    let vias: String = (0..34)
        .map(|n| format!("SIP/2.0/TCP sip{n}.example.com"))
        .collect::<Vec<_>>()
        .join(",\n ");
    let invite = valid(&format!(
        "INVITE sip:user@example.com SIP/2.0\nTo: \"I have a user name of {long} proportion\" <sip:user@example.com:6000;unknownparam1={longer};{long}=z>\n\
         F: sip:{long}@example.net;tag=12982982982982982982982982982982982982982982982982424;unknownheaderparamname{long}={longer}\n\
         Call-ID: longreq.one{long}callid\nCSeq: 3882340 INVITE\nUnknown-{long}-Header: unknown-{longer}-value;{long}={longer}\n\
         Via: {vias}\nV: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{long}\nMax-Forwards: 70\nContact: <sip:{long}@host5.example.net>\nl: 0\n\n"
    ));
    assert_eq!(invite.values(HeaderName::Via).count(), 35);
    assert_eq!(invite.from().unwrap().tag().map(<[u8]>::len), Some(53));
}

/// RFC 4475 3.1.1.8: "the octets following the body [...] must be ignored"
#[test]
fn octets_after_the_message_are_left_out() {
    let register = valid(
        "REGISTER sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=43251j3j324\nMax-Forwards: 8\nI: dblreq.0\n\
         Contact: sip:j.user@host.example.com\nCSeq: 8 REGISTER\nVia: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492\nContent-Length: 0\n\n\
         INVITE sip:joe@example.com SIP/2.0\nt: sip:joe@example.com\n\n",
    );
    assert_eq!(register.method(), Method::Register);
    assert!(register.bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
}

/// RFC 4475 3.1.1.9
#[test]
fn semicolons_in_a_user_part() {
    let options = valid(
        "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\nTo: sip:j_user@example.com\nFrom: sip:caller@example.org;tag=33242\nMax-Forwards: 3\n\
         Call-ID: semiuri.0\nCSeq: 8 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw\nl: 0\n\n",
    );
    assert_eq!(
        options.request_uri().unwrap().user(),
        Some(&b"user;par=u%40example.net"[..])
    );
}

/// RFC 4475 3.1.1.10
#[test]
fn transports_that_we_do_not_know() {
    let options = valid(
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: <sip:caller@example.com>;tag=323\nMax-Forwards: 70\nCall-ID: transports.1\nCSeq: 60 OPTIONS\n\
         Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\nVia: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\n\
         Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\nVia: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee\nl: 0\n\n",
    );
    assert_eq!(options.values(HeaderName::Via).count(), 5);
}

/// RFC 4475 3.1.1.11
#[test]
fn binary_parts_in_a_body() {
    let body = "--b7\nContent-Type: text/plain\n\nHello\n\n--b7\nContent-Type: application/octet-stream\n\n\u{0}\u{1}\u{7f}\u{ff}\n--b7--";
    let length = body.replace('\n', "\r\n").len();
    let message = valid(&format!(
        "MESSAGE sip:kumiko@example.org SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport\nMax-Forwards: 70\nRoute: <sip:127.0.0.1:5080>\n\
         Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuL\nTo: <sip:kumiko@example.org>\nFrom: <sip:fluffy@example.com>;tag=2fb0dcc9\nCall-ID: 3d9485ad0c49859b\nCSeq: 1 MESSAGE\n\
         Content-Type: multipart/mixed;boundary=b7\nContent-Length: {length}\n\n{body}"
    ));
    assert_eq!(message.body().len(), length);
    assert_eq!(message.top_via().unwrap().rport(), Some(None));
}

/// RFC 4475 3.1.1.12, 3.1.1.13
#[test]
fn reason_phrases_odd_and_empty() {
    let head = "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\nCall-ID: unreason.1\nCSeq: 35 INVITE\nFrom: sip:user@example.com;tag=11141343\nTo: sip:user@example.edu;tag=2229\nContent-Length: 0\n\n";
    let odd = response(&format!(
        "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e}\n{head}"
    ));
    assert_eq!(odd.status(), StatusCode::OK);
    assert!(odd.reason().starts_with(b"= 2**3 * 5**2 "));
    assert_eq!(response(&format!("SIP/2.0 100 \n{head}")).reason(), b"");
    // Without even the space: not by the grammar, but harmless and seen.
    assert_eq!(response(&format!("SIP/2.0 100\n{head}")).reason(), b"");
}

/// RFC 4475 3.3.14
#[test]
fn a_request_of_rfc_2543() {
    let invite = valid(
        "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\nRecord-Route: <sip:UserB@example.com;maddr=ss1.example.com>\n\
         To: sip:+16505552222@ss1.example.net;user=phone\nCall-ID: inv2543.1717@ift.client.example.com\nCSeq: 56 INVITE\nContent-Type: application/sdp\n\nv=0\n",
    );
    assert_eq!(
        (invite.max_forwards(), invite.top_via().unwrap().branch()),
        (None, None)
    );
    assert_eq!(invite.body(), b"v=0\r\n");
}

#[test]
fn compact_and_long_forms_are_the_same_header() {
    let notify = request(
        "NOTIFY sip:a SIP/2.0\no: reg\nu: reg, presence\nx: 90\nb: <sip:r>\nc: text/plain\ne: gzip\n\n",
    );
    assert_eq!(notify.header(HeaderName::Event), Some(&b"reg"[..]));
    assert!(notify.has_token(HeaderName::AllowEvents, "PRESENCE"));
    assert_eq!(notify.header_named("session-expires"), Some(&b"90"[..]));
    assert_eq!(notify.header_named("B"), Some(&b"<sip:r>"[..]));
    assert_eq!(notify.request_uri().unwrap().scheme(), Scheme::Sip);
}
