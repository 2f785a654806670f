//! Codec: the configuration of freeDiameter, as far as a peer is concerned: Identity, Realm, ListenOn, Port, ConnectPeer.
//!
//! A file is a sequence of `Word = value;`, `Word;` and `Word = value { … };`. What is not known is read over.

use std::fmt;
use std::net::IpAddr;

/// What a freeDiameter says of itself and of its peers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct FreeDiameter {
    pub(super) identity: Option<String>,
    pub(super) realm: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) listen_on: Vec<IpAddr>,
    pub(super) peers: Vec<ConnectPeer>,
}

/// `ConnectPeer = "name" { … };`: it knows this peer, and dials it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ConnectPeer {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) connect_to: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) realm: Option<String>,
    pub(super) no_tls: bool,
}

/// What cannot be read, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NotRead {
    pub(super) line: usize,
    pub(super) problem: String,
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.problem)
    }
}

/// A word, a quoted text or a sign.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Token {
    fn said(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => format!("\"{text}\""),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, NotRead> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => line += 1,
            '#' => while letters.next_if(|next| *next != '\n').is_some() {},
            '"' => {
                let begun = line;
                let mut text = String::new();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\n') | None => {
                            return Err(NotRead {
                                line: begun,
                                problem: "a text has no closing quote".to_owned(),
                            });
                        }
                        Some(letter) => text.push(letter),
                    }
                }
                found.push((line, Token::Text(text)));
            }
            letter if letter.is_whitespace() => {}
            letter if letter.is_alphanumeric() || letter == '_' => {
                let mut word = String::from(letter);
                while let Some(next) = letters.next_if(|c| c.is_alphanumeric() || "_.-".contains(*c)) {
                    word.push(next);
                }
                found.push((line, Token::Word(word)));
            }
            sign => found.push((line, Token::Sign(sign))),
        }
    }
    Ok(found)
}

/// One statement: `word = values { inner };`.
#[derive(Debug, Default)]
struct Statement {
    line: usize,
    word: String,
    values: Vec<String>,
    inner: Vec<Self>,
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    line: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let (line, token) = self.tokens.next()?;
        self.line = line;
        Some(token)
    }

    fn wrong<T>(&self, problem: impl Into<String>) -> Result<T, NotRead> {
        Err(NotRead {
            line: self.line,
            problem: problem.into(),
        })
    }

    /// Statements up to the end, or up to a closing brace.
    fn statements(&mut self, is_inner: bool) -> Result<Vec<Statement>, NotRead> {
        let mut found = Vec::new();
        loop {
            match self.next() {
                None if is_inner => return self.wrong("the file ends inside of { }"),
                None => return Ok(found),
                Some(Token::Sign('}')) if is_inner => return Ok(found),
                Some(Token::Sign(';')) => {}
                Some(Token::Word(word)) => found.push(self.statement(word, is_inner)?),
                Some(other) => return self.wrong(format!("`{}` begins no statement", other.said())),
            }
        }
    }

    fn statement(&mut self, word: String, is_inner: bool) -> Result<Statement, NotRead> {
        let mut statement = Statement {
            line: self.line,
            word,
            ..Statement::default()
        };
        loop {
            match self.next() {
                Some(Token::Sign(';')) => return Ok(statement),
                Some(Token::Sign('{')) if !is_inner => statement.inner = self.statements(true)?,
                Some(Token::Sign('=' | ':' | ',' | '/' | '-' | '+' | '!' | '*' | '&' | '|')) => {}
                Some(Token::Word(value) | Token::Text(value)) => statement.values.push(value),
                Some(other) => {
                    return self.wrong(format!(
                        "`{}` inside of the statement {}: is a `;` missing?",
                        other.said(),
                        statement.word
                    ));
                }
                None => {
                    return Err(NotRead {
                        line: statement.line,
                        problem: format!("the statement {} has no `;` at its end", statement.word),
                    });
                }
            }
        }
    }
}

impl FreeDiameter {
    /// Reads a file.
    ///
    /// # Errors
    /// The line, and what is wrong there.
    pub(super) fn parse(text: &str) -> Result<Self, NotRead> {
        let mut reader = Reader {
            tokens: tokens(text)?.into_iter().peekable(),
            line: 1,
        };
        let mut found = Self::default();
        for statement in reader.statements(false)? {
            let value = || statement.values.first().cloned();
            match statement.word.to_ascii_lowercase().as_str() {
                "identity" => found.identity = value(),
                "realm" => found.realm = value(),
                "port" => found.port = number(&statement)?,
                "listenon" => found
                    .listen_on
                    .extend(value().and_then(|v| v.parse::<IpAddr>().ok())),
                "connectpeer" => found.peers.push(connect_peer(&statement)?),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn connect_peer(statement: &Statement) -> Result<ConnectPeer, NotRead> {
    let Some(name) = statement.values.first().cloned() else {
        return Err(NotRead {
            line: statement.line,
            problem: "ConnectPeer without a name".to_owned(),
        });
    };
    let mut peer = ConnectPeer {
        line: statement.line,
        name,
        ..ConnectPeer::default()
    };
    for inner in &statement.inner {
        let value = || inner.values.first().cloned();
        match inner.word.to_ascii_lowercase().as_str() {
            "connectto" => peer.connect_to.extend(value()),
            "port" => peer.port = number(inner)?,
            "realm" => peer.realm = value(),
            "no_tls" => peer.no_tls = true,
            _ => {}
        }
    }
    Ok(peer)
}

fn number(statement: &Statement) -> Result<Option<u16>, NotRead> {
    let value = statement.values.first();
    match value.map(|value| value.parse()) {
        Some(Ok(port)) => Ok(Some(port)),
        _ => Err(NotRead {
            line: statement.line,
            problem: format!("{} is no number of a port", statement.word),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Open5GS ships it, cut short.
    const HSS: &str = r#"# The Diameter identity
Identity = "hss.ims.example";
Realm = "ims.example";
#Port = 3868;
ListenOn = "127.0.0.8";
NoRelay;
LoadExtension = "/usr/lib/freeDiameter/dbg_msg_dumps.fdx" : "0x8888";
ConnectPeer = "mme.epc.example" { ConnectTo = "127.0.0.2"; No_TLS; };
ConnectPeer = "scscf.ims.example" { ConnectTo = "192.0.2.4"; Port = 3870; No_TLS; Realm = "ims.example"; };
"#;

    #[test]
    fn identity_realm_and_peers_are_read_and_all_else_read_over() {
        let read = FreeDiameter::parse(HSS).unwrap();
        assert_eq!(read.identity.as_deref(), Some("hss.ims.example"));
        assert_eq!(read.realm.as_deref(), Some("ims.example"));
        assert_eq!(read.port, None, "a comment");
        assert_eq!(read.listen_on, ["127.0.0.8".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            read.peers[1],
            ConnectPeer {
                line: 9,
                name: "scscf.ims.example".to_owned(),
                connect_to: vec!["192.0.2.4".to_owned()],
                port: Some(3_870),
                realm: Some("ims.example".to_owned()),
                no_tls: true,
            }
        );
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        for (text, told) in [
            ("Identity = \"hss;\n", "1: a text has no closing quote"),
            (
                "Identity = \"a\"\n\nRealm = \"b\"",
                "1: the statement Identity has no `;` at its end",
            ),
            (
                "\nConnectPeer = \"x\" { No_TLS;",
                "2: the file ends inside of { }",
            ),
            ("\n\nPort = many;", "3: Port is no number of a port"),
            ("ConnectPeer;", "1: ConnectPeer without a name"),
            ("\n} ;", "2: `}` begins no statement"),
            (
                "ConnectPeer = \"a\" { No_TLS }",
                "1: `}` inside of the statement No_TLS: is a `;` missing?",
            ),
        ] {
            assert_eq!(FreeDiameter::parse(text).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(
            FreeDiameter::parse("# nothing\n").unwrap(),
            FreeDiameter::default()
        );
    }
}
