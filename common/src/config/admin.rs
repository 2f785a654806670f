//! Codec: where and to whom a node answers operators.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::DomainName;
use crate::operate::Endpoint;

/// Other nodes that a node asks at most.
const NEIGHBOURS_MAX: usize = 64;

/// `admin: 127.0.0.1:9091`, or a section with more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AdminConfig {
    /// Where HTTP is served over TCP.
    pub listen: Option<SocketAddr>,
    /// Where HTTP is served over a Unix socket, to whom the file's permissions (0660) let in, with all rights.
    pub socket: Option<PathBuf>,
    /// The file with the token that lets read; without one, whoever is on this machine may.
    pub read_token_file: Option<PathBuf>,
    /// The file with the token that lets change things too; without one, whoever is on this machine may.
    pub write_token_file: Option<PathBuf>,
    /// The other nodes of the site, which are asked too when an operator wants the answers of all.
    pub neighbours: Vec<Endpoint>,
    /// Host names by which browsers may ask, beside addresses and `localhost`.
    pub names: Vec<DomainName>,
}

impl From<SocketAddr> for AdminConfig {
    fn from(listen: SocketAddr) -> Self {
        Self {
            listen: Some(listen),
            ..Self::default()
        }
    }
}

impl FromStr for AdminConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: Result<SocketAddr, _> = text.parse();
        address.map(Self::from).map_err(|_| {
            format!("`{text}` is not an address with a port; expected IP:port as 127.0.0.1:9091, or a section with listen or socket")
        })
    }
}

/// The long form.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket: Option<SocketPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    write_token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    neighbours: Vec<Endpoint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<DomainName>,
}

/// An absolute path that fits into an address (unix(7): 108 octets, with room for a neighbour while it is made).
#[derive(Serialize)]
#[serde(transparent)]
struct SocketPath(PathBuf);

/// Octets of the path of a socket.
const SOCKET_PATH_MAX: usize = 96;

impl<'de> Deserialize<'de> for SocketPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        if path.is_absolute() && path.as_os_str().len() <= SOCKET_PATH_MAX && path.file_name().is_some() {
            return Ok(Self(path));
        }
        Err(D::Error::custom(format!(
            "`{}` is no path of a socket; expected an absolute path of at most {SOCKET_PATH_MAX} octets, as /run/ims/pcscf.sock",
            path.display()
        )))
    }
}

impl TryFrom<Section> for AdminConfig {
    type Error = String;

    fn try_from(section: Section) -> Result<Self, String> {
        if section.listen.is_none() && section.socket.is_none() {
            return Err("has no place to listen at; expected listen, socket or both".to_owned());
        }
        if section.neighbours.len() > NEIGHBOURS_MAX {
            return Err(format!(
                "has too many neighbours; expected at most {NEIGHBOURS_MAX}"
            ));
        }
        Ok(Self {
            listen: section.listen,
            socket: section.socket.map(|path| path.0),
            read_token_file: section.read_token_file,
            write_token_file: section.write_token_file,
            neighbours: section.neighbours,
            names: section.names,
        })
    }
}

impl Serialize for AdminConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.listen {
            Some(listen) if *self == Self::from(listen) => serializer.collect_str(&listen),
            _ => {
                let section = Section {
                    listen: self.listen,
                    socket: self.socket.clone().map(SocketPath),
                    read_token_file: self.read_token_file.clone(),
                    write_token_file: self.write_token_file.clone(),
                    neighbours: self.neighbours.clone(),
                    names: self.names.clone(),
                };
                section.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for AdminConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AdminVisitor)
    }
}

struct AdminVisitor;

impl<'de> Visitor<'de> for AdminVisitor {
    type Value = AdminConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IP:port, or a section with listen or socket")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AdminConfig, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AdminConfig, A::Error> {
        let section = Section::deserialize(MapAccessDeserializer::new(map))?;
        section.try_into().map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{effective, parse};

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Echo {
        admin: Option<AdminConfig>,
    }

    fn read(admin: &str) -> Result<AdminConfig, String> {
        let config: Echo = parse("echo", &format!("echo:\n  admin: {admin}\n")).map_err(|e| e.to_string())?;
        config.admin.ok_or_else(|| "nowhere".to_owned())
    }

    #[test]
    fn short_and_long_form_say_the_same_and_print_as_they_were_written() {
        let short = read("127.0.0.1:9091").unwrap();
        assert_eq!(read("{listen: 127.0.0.1:9091}").unwrap(), short);
        let printed = effective("echo", &Echo { admin: Some(short) }).unwrap();
        assert_eq!(printed, "echo:\n  admin: 127.0.0.1:9091\n");
        let long = read(
            "{socket: /run/ims/pcscf.sock, read_token_file: /etc/ims/read, neighbours: [127.0.1.3, /run/ims/scscf.sock]}",
        )
        .unwrap();
        let printed = effective(
            "echo",
            &Echo {
                admin: Some(long.clone()),
            },
        )
        .unwrap();
        let again: Echo = parse("echo", &printed).unwrap();
        assert_eq!(again.admin, Some(long));
        assert!(printed.contains("http://127.0.1.3:9091"), "{printed}");
        assert_eq!(read("null").unwrap_err(), "nowhere");
    }

    #[test]
    fn mistakes_are_told_with_line_column_and_key() {
        for (wrong, complaint) in [
            (
                "9091",
                "echo.admin: is integer `9091`; expected IP:port, or a section",
            ),
            (
                "127.0.0.1",
                "echo.admin: `127.0.0.1` is not an address with a port; expected IP:port",
            ),
            (
                "{lisen: 127.0.0.1:9091}",
                "echo.admin.lisen: unknown key; expected one of listen, socket,",
            ),
            ("{listen: here}", "echo.admin.listen: "),
            (
                "{socket: ims.sock}",
                "echo.admin.socket: `ims.sock` is no path of a socket; expected",
            ),
            (
                "{listen: 127.0.0.1:9091, neighbours: [127.0.1.3, x]}",
                "echo.admin.neighbours[1]: `x` is no endpoint",
            ),
            (
                "{neighbours: []}",
                "echo.admin: has no place to listen at; expected listen, socket or both",
            ),
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains(complaint), "{wrong}: {told}");
        }
    }
}
