//! Shell: finds the nodes and asks all of them at once.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;

use super::args::Common;
use super::outcome::Problem;
use crate::operate::{ADMIN_PORT, Endpoint, List, NodeRow, Report, Unanswered};
use crate::shell::admin::Token;
use crate::shell::admin::client::{Client, ClientError, path};

/// Where daemons have their sockets.
const SOCKETS: &str = "/run/ims";
/// The variable that names nodes.
const NODES: &str = "IMSCTL_NODES";
/// Nodes that are looked for on this machine, by their ports.
const PORTS: u16 = 3;

/// The nodes.
pub(super) struct Nodes {
    pub(super) clients: Vec<Client>,
    token: Option<Token>,
    /// Nobody named them: one that is not there need not be.
    are_guessed: bool,
}

/// The answers of nodes, and what went wrong with others.
pub(super) struct Gathered<T> {
    pub(super) answers: Vec<(Endpoint, T)>,
    pub(super) failures: Vec<ClientError>,
}

impl Nodes {
    /// Those that were named, or else those that can be found.
    pub(super) fn find(common: &Common) -> Result<Self, Problem> {
        let token = common.token_file.as_deref().map(token).transpose()?;
        let mut are_guessed = false;
        let mut endpoints = common.node.clone();
        if endpoints.is_empty() {
            endpoints = of_environment()?;
        }
        if endpoints.is_empty() {
            endpoints = sockets(Path::new(SOCKETS));
        }
        if endpoints.is_empty() {
            are_guessed = true;
            let ports = ADMIN_PORT..ADMIN_PORT + PORTS;
            endpoints = ports
                .map(|port| Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
                .collect();
        }
        endpoints.sort();
        endpoints.dedup();
        let mut nodes = Self {
            clients: Vec::new(),
            token,
            are_guessed,
        };
        nodes.clients = endpoints.into_iter().map(|it| nodes.client(it)).collect();
        Ok(nodes)
    }

    /// A single node asks its neighbours for us.
    pub(super) fn scope(&self) -> &'static str {
        match self.clients.len() {
            1 => "site",
            _ => "node",
        }
    }

    /// Asks all for JSON; the path has no query yet.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        wanted: &str,
        query: &[(&str, &str)],
    ) -> Result<Gathered<T>, Problem> {
        let mut query = query.to_vec();
        query.push(("scope", self.scope()));
        let wanted = path(wanted, &query);
        let asked = self.clients.iter().map(|client| client.read::<T>(&wanted));
        self.sorted(join_all(asked).await)
    }

    /// Asks all for text, without their neighbours.
    pub(super) async fn text(&self, wanted: &str) -> Result<Gathered<String>, Problem> {
        let asked = self.clients.iter().map(async |client| {
            let answer = client.get(wanted).await?;
            Ok(String::from_utf8_lossy(&answer.body).into_owned())
        });
        self.sorted(join_all(asked).await)
    }

    fn sorted<T>(&self, all: Vec<Result<T, ClientError>>) -> Result<Gathered<T>, Problem> {
        let mut gathered = Gathered {
            answers: Vec::new(),
            failures: Vec::new(),
        };
        for (client, answer) in self.clients.iter().zip(all) {
            match answer {
                Ok(answer) => gathered.answers.push((client.endpoint().clone(), answer)),
                Err(error) => gathered.failures.push(error),
            }
        }
        if gathered.answers.is_empty() {
            return Err(nobody(&gathered.failures, self.are_guessed));
        }
        if self.are_guessed {
            gathered
                .failures
                .retain(|error| !matches!(error, ClientError::Unreachable { .. }));
        }
        Ok(gathered)
    }

    /// A list of all nodes.
    pub(super) async fn report(
        &self,
        list: List,
        who: Option<&str>,
        limit: usize,
    ) -> Result<Report, Problem> {
        let text = limit.to_string();
        let mut query = vec![("limit", text.as_str())];
        query.extend(who.map(|who| ("who", who)));
        let gathered = self.read::<Report>(list.path(), &query).await?;
        let mut all = Report::default();
        for (_, report) in gathered.answers {
            all.join(report, usize::MAX);
        }
        all.unanswered.extend(gathered.failures.iter().map(unanswered));
        Ok(all)
    }

    /// Every node by its name, neighbours of a single one among them.
    pub(super) async fn by_name(&self) -> Result<Vec<Named>, Problem> {
        let asked = self.clients.iter().map(own_row);
        let own = self.sorted(join_all(asked).await)?;
        let mut all = Vec::new();
        let mut others: Vec<Endpoint> = Vec::new();
        for (endpoint, row) in own.answers {
            if self.clients.len() == 1 {
                others.extend(row.neighbours.iter().filter_map(|text| text.parse().ok()));
            }
            let client = self.client(endpoint);
            all.push(Named { row, client });
        }
        for endpoint in others {
            let client = self.client(endpoint);
            // Who does not answer is named where it is asked for something.
            if let Ok(row) = own_row(&client).await {
                all.push(Named { row, client });
            }
        }
        Ok(all)
    }

    fn client(&self, endpoint: Endpoint) -> Client {
        Client::new(endpoint).with_token(self.token.clone())
    }
}

/// A node that said who it is.
pub(super) struct Named {
    pub(super) row: NodeRow,
    pub(super) client: Client,
}

impl Named {
    /// `pcscf`, `icscf`, `scscf`.
    pub(super) fn name(&self) -> String {
        self.row.node.clone()
    }

    /// Whether an operator may mean it so: two S-CSCFs are told apart by their endpoints.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.row.node == name || self.client.endpoint().to_string() == name
    }
}

async fn own_row(client: &Client) -> Result<NodeRow, ClientError> {
    let report = client.read::<Report>(List::Nodes.path()).await?;
    report
        .nodes
        .into_iter()
        .next()
        .ok_or_else(|| ClientError::Broken {
            endpoint: client.endpoint().clone(),
            problem: "it does not say which node it is; is it of this version?".to_owned(),
        })
}

/// What went wrong with a node, as a row.
pub(super) fn unanswered(error: &ClientError) -> Unanswered {
    let endpoint = match error {
        ClientError::Unreachable { endpoint, .. }
        | ClientError::Timeout(endpoint)
        | ClientError::Broken { endpoint, .. }
        | ClientError::Refused { endpoint, .. } => endpoint.to_string(),
    };
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{endpoint}: ")).map(str::to_owned);
    Unanswered {
        error: rest.unwrap_or(text),
        endpoint,
    }
}

/// Whoever refused is there: then what they said is the problem.
fn nobody(failures: &[ClientError], are_guessed: bool) -> Problem {
    let refused = failures
        .iter()
        .find(|error| matches!(error, ClientError::Refused { .. }));
    if let Some(refused) = refused {
        return Problem::Failed(refused.to_string());
    }
    let mut told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    told.dedup();
    let remedy = match are_guessed {
        true => "set `admin` in the nodes' configurations, or name nodes with --node or IMSCTL_NODES",
        false => "look whether the nodes run and whether `admin` in their configurations is this address",
    };
    Problem::NoNode(format!("no node answers ({}); {remedy}", told.join(", ")))
}

fn token(path: &Path) -> Result<Token, Problem> {
    Token::from_file(path).map_err(|error| {
        Problem::Usage(format!(
            "--token-file {}: {error}; give the file that admin.read_token_file or admin.write_token_file names",
            path.display()
        ))
    })
}

fn of_environment() -> Result<Vec<Endpoint>, Problem> {
    let text = std::env::var(NODES).unwrap_or_default();
    text.split([',', ' ', '\n'])
        .filter(|word| !word.is_empty())
        .map(|word| word.parse())
        .collect::<Result<_, String>>()
        .map_err(|error| Problem::Usage(format!("{NODES}: {error}")))
}

fn sockets(directory: &Path) -> Vec<Endpoint> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_socket = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "sock");
    paths.filter(is_socket).map(Endpoint::Socket).collect()
}
