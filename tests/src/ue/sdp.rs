//! Testkit: the session descriptions of a phone, with preconditions (RFC 4566, RFC 3264, RFC 3312), as text.

use std::net::IpAddr;

/// Which way media flow, as whoever says it sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The other is on hold.
    SendOnly,
    /// The answer to that.
    RecvOnly,
    /// Both are on hold.
    Inactive,
}

impl Direction {
    /// What answers this offer (RFC 3264 6.1).
    #[must_use]
    pub const fn answer(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Which resources are there, as whoever says it sees it (RFC 3312 5.1.1, segmented status).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Qos {
    /// Its own.
    pub local: bool,
    /// Those of the other.
    pub remote: bool,
}

/// What a phone knows of one session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Media {
    ip: IpAddr,
    version: u64,
    /// Its own direction.
    pub direction: Direction,
    /// Its resources, in a session with preconditions.
    pub qos: Option<Qos>,
    /// What the other said last.
    pub heard: Option<Heard>,
    length: Length,
}

/// How much a phone offers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Length {
    /// Two codecs.
    #[default]
    Short,
    /// EVS in all its forms, and video: more than a datagram carries.
    Long,
}

/// What a description said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Heard {
    /// Its direction.
    pub direction: Direction,
    /// Its resources.
    pub qos: Option<Qos>,
    /// It wants to be told when ours are there (RFC 3312 5.1.1).
    pub confirms: bool,
}

const LONG: &str = "m=video 50020 RTP/AVP 117 34\r\nb=AS:864\r\na=rtpmap:117 H264/90000\r\n\
    a=fmtp:117 profile-level-id=42C01E;packetization-mode=1;sprop-parameter-sets=Z0LAHtkAtBWnABAAAAMAEAAAAwPA8WLkgA==,aMuDyyA=\r\n\
    a=rtpmap:34 H263/90000\r\na=imageattr:117 send [x=480,y=640] recv [x=480,y=640]\r\na=extmap:7 urn:3gpp:video-orientation\r\n\
    a=rtcp-fb:* ccm fir\r\na=rtcp-fb:* ccm tmmbr\r\na=rtcp-fb:* nack\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:* trr-int 5000\r\n\
    a=tcap:1 RTP/AVPF\r\na=pcfg:1 t=1\r\na=inactive\r\n";
const LONG_CODECS: &str = "a=rtpmap:127 EVS/16000/1\r\na=fmtp:127 br=5.9-24.4;bw=nb-swb;ch-aw-recv=2\r\n\
    a=rtpmap:126 EVS/16000/1\r\na=fmtp:126 br=5.9-13.2;bw=nb-wb;ch-aw-recv=2\r\n\
    a=rtpmap:107 AMR-WB/16000/1\r\na=fmtp:107 octet-align=1;mode-change-capability=2;max-red=0\r\n\
    a=rtpmap:96 AMR/8000/1\r\na=fmtp:96 octet-align=1;mode-change-capability=2;max-red=0\r\n";

impl Media {
    /// A session of a phone at `ip`.
    #[must_use]
    pub const fn new(ip: IpAddr, qos: Option<Qos>, length: Length) -> Self {
        Self {
            ip,
            version: 0,
            direction: Direction::SendRecv,
            qos,
            heard: None,
            length,
        }
    }

    /// The next offer.
    pub fn offer(&mut self) -> String {
        self.describe(false)
    }

    /// The answer to what was heard.
    pub fn answer(&mut self) -> String {
        self.direction = self.heard.unwrap_or_default().direction.answer();
        let wants_to_know = self.qos.is_some_and(|qos| !qos.remote);
        self.describe(wants_to_know)
    }

    fn describe(&mut self, confirm: bool) -> String {
        self.version += 1;
        let family = if self.ip.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, version) = (self.ip, self.version);
        let (formats, codecs, more) = match self.length {
            Length::Short => ("116 118 111", "", ""),
            Length::Long => ("127 126 116 107 118 96 111", LONG_CODECS, LONG),
        };
        format!(
            "v=0\r\no=- 1001 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nb=AS:49\r\nb=RS:600\r\nb=RR:2000\r\n\
             t=0 0\r\nm=audio 50010 RTP/AVP {formats}\r\n{codecs}a=rtpmap:116 AMR-WB/16000/1\r\n\
             a=fmtp:116 mode-change-capability=2;max-red=0\r\na=rtpmap:118 AMR/8000/1\r\n\
             a=fmtp:118 mode-change-capability=2;max-red=0\r\na=rtpmap:111 telephone-event/16000\r\na=fmtp:111 0-15\r\n\
             {}a={}\r\na=ptime:20\r\na=maxptime:240\r\n{more}",
            self.preconditions(confirm),
            self.direction.token()
        )
    }

    /// Takes what the other said.
    pub fn hear(&mut self, heard: Heard) {
        if let (Some(own), Some(qos)) = (&mut self.qos, heard.qos) {
            own.remote = qos.local;
        }
        self.heard = Some(heard);
    }

    /// Both sides have what it takes to ring (RFC 3312 8).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.qos.is_none_or(|qos| qos.local && qos.remote)
    }

    /// RFC 3312 5.1: the offer of a phone does not insist on the other's resources; its answer does, and asks to be told.
    fn preconditions(&self, confirm: bool) -> String {
        let Some(qos) = self.qos else {
            return String::new();
        };
        let said = |there| if there { "sendrecv" } else { "none" };
        let (strength, confirm) = match confirm {
            true => ("mandatory", "a=conf:qos remote sendrecv\r\n"),
            false => ("optional", ""),
        };
        format!(
            "a=curr:qos local {}\r\na=curr:qos remote {}\r\na=des:qos mandatory local sendrecv\r\n\
             a=des:qos {strength} remote sendrecv\r\n{confirm}",
            said(qos.local),
            said(qos.remote)
        )
    }
}

/// What a description says of its first medium; `None` when it is none.
#[must_use]
pub fn read(body: &[u8]) -> Option<Heard> {
    let text = std::str::from_utf8(body).ok()?;
    text.strip_prefix("v=0")?;
    let first = text.split("\nm=").nth(1)?;
    // RFC 4566 5.14: what, where, how, and at least one format.
    if first.lines().next()?.split(' ').count() < 4 {
        return None;
    }
    let lines = || first.lines().map(str::trim_end);
    let there = |name: &str| {
        let mut values = lines().filter_map(|line| line.strip_prefix("a=curr:qos ")?.strip_prefix(name));
        values.next().map(|value| value.trim() == "sendrecv")
    };
    let direction = [
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
        Direction::SendRecv,
    ]
    .into_iter()
    .find(|direction| lines().any(|line| line.strip_prefix("a=") == Some(direction.token())));
    Some(Heard {
        direction: direction.unwrap_or_default(),
        qos: there("local").map(|local| Qos {
            local,
            remote: there("remote").unwrap_or(false),
        }),
        confirms: lines().any(|line| line.starts_with("a=conf:qos")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(qos: Option<Qos>) -> Media {
        Media::new(IpAddr::from([192, 0, 2, 10]), qos, Length::Short)
    }

    #[test]
    fn preconditions_go_to_and_fro_until_both_have_their_resources() {
        let (mut alice, mut bob) = (media(Some(Qos::default())), media(Some(Qos::default())));
        let offer = alice.offer();
        assert!(
            offer.contains("a=des:qos optional remote sendrecv\r\n"),
            "{offer}"
        );
        bob.hear(read(offer.as_bytes()).unwrap());
        let answer = bob.answer();
        assert!(answer.contains("a=conf:qos remote sendrecv\r\n"), "{answer}");
        alice.hear(read(answer.as_bytes()).unwrap());
        assert!(!alice.is_ready() && !bob.is_ready());
        alice.qos = Some(Qos {
            local: true,
            ..alice.qos.unwrap()
        });
        let offer = alice.offer();
        assert!(offer.contains("o=- 1001 2 IN IP4"), "{offer}");
        bob.hear(read(offer.as_bytes()).unwrap());
        assert!(!bob.is_ready());
        bob.qos = Some(Qos {
            local: true,
            ..bob.qos.unwrap()
        });
        assert!(bob.is_ready());
        alice.hear(read(bob.answer().as_bytes()).unwrap());
        assert!(alice.is_ready());
    }

    #[test]
    fn directions_are_read_and_answered() {
        let mut alice = media(None);
        alice.direction = Direction::SendOnly;
        let heard = read(alice.offer().as_bytes()).unwrap();
        assert_eq!(heard.direction.answer(), Direction::RecvOnly);
        assert_eq!((heard.qos, read(b"nonsense")), (None, None));
    }
}
