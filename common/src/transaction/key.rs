//! Codec: what makes two messages belong to one transaction (RFC 3261 17.1.3, 17.2.3).

use siphasher::sip128::SipHasher24;
use smallvec::SmallVec;

use crate::sip::{Message, Method, Request, Response};

/// The start of every branch made by an element of RFC 3261 (8.1.1.7).
pub(crate) const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// What a key is made of, so that no two sorts of keys are made of the same octets.
#[derive(Clone, Copy)]
enum Sort {
    Branch,
    Rfc2543,
    Client,
    Method,
}

/// Makes the keys of one node.
///
/// A key stands for texts of any length in 16 octets: SipHash-2-4-128 of them under a secret of this node. Whoever does
/// not know the secret cannot make two texts with one key, and among a million by chance it happens once in 2^88 times.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    secret: (u64, u64),
}

/// Stands for branch and sent-by of the top Via, or for what RFC 2543 had instead; without the method.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ServerKey(u64, u64);

/// Stands for the branch that we made and the CSeq method (RFC 3261 17.1.3; a CANCEL shares the branch of its INVITE).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientKey(u64, u64);

impl Keys {
    pub(crate) fn new(secret: (u64, u64)) -> Self {
        Self { secret }
    }

    /// The key of a request; `None` when it has no usable Via.
    pub(crate) fn of_request(&self, request: &Request) -> Option<ServerKey> {
        let via = request.top_via().ok()?;
        let (first, second) = match via.branch() {
            Some(branch) if is_cookie(branch) => self.of_branch(branch, via.sent_by()),
            _ => self.of_rfc2543(request, via.raw())?,
        };
        Some(ServerKey(first, second))
    }

    /// The key of a response's client transaction; `None` when its branch cannot be ours.
    pub(crate) fn of_response(&self, response: &Response) -> Option<ClientKey> {
        let via = response.top_via().ok()?;
        let branch = via.branch().filter(|branch| is_cookie(branch))?;
        Some(self.of_client(branch, &response.cseq().ok()?.method))
    }

    /// The key of a client transaction with a branch of ours.
    pub(crate) fn of_client(&self, branch: &[u8], method: &Method) -> ClientKey {
        let (first, second) = self.hash(Sort::Client, [branch, method.as_bytes()]);
        ClientKey(first, second)
    }

    /// An ACK belongs to its INVITE.
    pub(crate) fn filed(&self, method: &Method) -> FiledMethod {
        match method {
            Method::Register => FiledMethod(1),
            Method::Invite | Method::Ack => FiledMethod(2),
            Method::Cancel => FiledMethod::CANCEL,
            other => FiledMethod(self.hash(Sort::Method, [other.as_bytes()]).0 | FiledMethod::HASHED),
        }
    }

    /// RFC 3261 17.2.3: the branch and the sent-by are the same.
    fn of_branch(&self, branch: &[u8], sent_by: &[u8]) -> (u64, u64) {
        let sent_by: SmallVec<[u8; 64]> = sent_by
            .iter()
            .filter(|b| !b.is_ascii_whitespace())
            .map(u8::to_ascii_lowercase)
            .collect();
        self.hash(Sort::Branch, [branch, &sent_by])
    }

    /// RFC 3261 17.2.3, older elements: Request-URI, From tag, Call-ID, CSeq number and top Via are the same.
    /// The To tag is left out, so that the ACK to a response of ours has the key of its INVITE.
    fn of_rfc2543(&self, request: &Request, via: &[u8]) -> Option<(u64, u64)> {
        let number = request.cseq().ok()?.number.to_be_bytes();
        let parts = [
            request.request_uri_bytes(),
            from_tag(request)?,
            request.call_id()?,
            via,
            &number,
        ];
        Some(self.hash(Sort::Rfc2543, parts))
    }

    fn hash<const N: usize>(&self, sort: Sort, parts: [&[u8]; N]) -> (u64, u64) {
        let mut text: SmallVec<[u8; 256]> = SmallVec::new();
        text.push(sort as u8);
        for part in parts {
            text.extend_from_slice(&part.len().to_be_bytes());
            text.extend_from_slice(part);
        }
        SipHasher24::new_with_keys(self.secret.0, self.secret.1)
            .hash(&text)
            .as_u64()
    }
}

/// Stands for the method under which a request is filed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FiledMethod(u64);

impl FiledMethod {
    pub(crate) const CANCEL: Self = Self(3);
    /// Set in those that are a hash.
    const HASHED: u64 = 1 << 63;
}

fn is_cookie(branch: &[u8]) -> bool {
    branch
        .get(..MAGIC_COOKIE.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(MAGIC_COOKIE))
        && branch.len() > MAGIC_COOKIE.len()
}

/// The From tag, empty when there is none.
pub(crate) fn from_tag(message: &Message) -> Option<&[u8]> {
    message.from().ok().map(|from| from.tag().unwrap_or(b""))
}

/// The To tag, empty when there is none.
pub(crate) fn to_tag(message: &Message) -> Option<&[u8]> {
    message.to().ok().map(|to| to.tag().unwrap_or(b""))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::limits::SipLimits;
    use crate::sip::SipMessage;

    fn request(via: &str) -> Request {
        let text = format!(
            "OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:b@192.0.2.2>;tag=1\r\n\
             To: <sip:a@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text), &SipLimits::default()).unwrap();
        match message.into_parts() {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => unreachable!("it is a request"),
        }
    }

    fn key(secret: u64, via: &str) -> Option<ServerKey> {
        Keys::new((secret, 2)).of_request(&request(via))
    }

    #[test]
    fn branch_and_sent_by_make_the_key_and_the_case_of_a_host_does_not() {
        let here = key(1, "h.example:5060;branch=z9hG4bKa");
        assert!(here.is_some());
        assert_eq!(here, key(1, "H.Example:5060;rport;branch=z9hG4bKa"));
        assert_ne!(here, key(1, "h.example:5060;branch=z9hG4bKb"));
        assert_ne!(here, key(1, "h.example:5061;branch=z9hG4bKa"));
    }

    #[test]
    fn octets_do_not_move_from_one_part_of_a_key_to_the_next() {
        let keys = Keys::new((1, 2));
        assert_ne!(
            keys.hash(Sort::Branch, [b"ab", b"c"]),
            keys.hash(Sort::Branch, [b"a", b"bc"])
        );
        assert_ne!(
            keys.hash(Sort::Branch, [b"a", b"b"]),
            keys.hash(Sort::Client, [b"a", b"b"])
        );
    }

    #[test]
    fn another_secret_makes_other_keys() {
        let via = "h.example;branch=z9hG4bKa";
        assert_ne!(key(1, via), key(3, via));
    }

    #[test]
    fn branch_without_the_cookie_is_matched_as_rfc_2543_did() {
        assert_eq!(key(1, "h.example;branch=1"), key(1, "h.example;branch=1"));
        assert_ne!(key(1, "h.example;branch=1"), key(1, "h.example"));
    }
}
