//! Shell: asks a node what an operator asks: HTTP over TCP or a Unix socket.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::access::OPERATOR_HEADER;
use super::token::Token;
pub use crate::operate::Endpoint;

/// Octets of an answer at most.
const ANSWER_OCTETS_MAX: usize = 32 * 1024 * 1024;
/// Octets of one line of a stream at most.
const LINE_OCTETS_MAX: usize = 1024 * 1024;
/// How long an answer may take, unless said.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks one node.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    token: Option<Token>,
    patience: Duration,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("{endpoint}: {error}")]
    Unreachable {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        error: io::Error,
    },
    /// It did not answer in time.
    #[error("{0}: no answer in time")]
    Timeout(Endpoint),
    /// It does not speak HTTP, or says too much.
    #[error("{endpoint}: {problem}")]
    Broken {
        /// Where.
        endpoint: Endpoint,
        /// What went wrong.
        problem: String,
    },
    /// It refused.
    #[error("{endpoint}: {status}: {}{}{}", told.error, if told.hint.is_empty() { "" } else { "; " }, told.hint)]
    Refused {
        /// Where.
        endpoint: Endpoint,
        /// The status of HTTP.
        status: u16,
        /// Why.
        told: Told,
    },
}

/// The body of a refusal.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Told {
    /// What is wrong.
    pub error: String,
    /// What may help.
    pub hint: String,
}

impl Client {
    /// Asks the node there.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
            patience: PATIENCE,
        }
    }

    /// With this token.
    #[must_use]
    pub fn with_token(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
    }

    /// An answer may take so long.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it asks.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// GET. The path begins with `/`; [`path`] writes one with a query.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// POST of a JSON body, which may be empty.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, ClientError> {
        self.ask(Method::POST, path, body.into()).await
    }

    /// GET, and reads the JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get), and when it is not a `T`.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.get(path).await?;
        serde_json::from_slice(&answer.body).map_err(|error| self.broken(error))
    }

    /// GET of server-sent events, which go on until one side ends.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn follow(&self, path: &str) -> Result<Events, ClientError> {
        let sent = self.send(Method::GET, path, Bytes::new());
        let response = timeout(self.patience, sent)
            .await
            .map_err(|_| ClientError::Timeout(self.endpoint.clone()))??;
        if !response.status().is_success() {
            return Err(self.refusal(&self.collect(response).await?));
        }
        Ok(Events {
            body: response.into_body(),
            read: BytesMut::new(),
            endpoint: self.endpoint.clone(),
        })
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ClientError> {
        let exchange = async { self.collect(self.send(method, path, body).await?).await };
        let answer = timeout_at(Instant::now() + self.patience, exchange)
            .await
            .map_err(|_| ClientError::Timeout(self.endpoint.clone()))??;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refusal(&answer))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Answer, ClientError> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_OCTETS_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| self.broken(error))?.to_bytes();
        Ok(Answer { status, body })
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(method, path, body)?;
        match &self.endpoint {
            Endpoint::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => self.exchange(stream, request).await,
                Err(error) => Err(self.unreachable(error)),
            },
            Endpoint::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => self.exchange(stream, request).await,
                Err(error) => Err(self.unreachable(error)),
            },
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| self.broken(error))?;
        // Ends with the body of the answer.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = match &self.endpoint {
            Endpoint::Tcp(address) => address.to_string(),
            Endpoint::Socket(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(OPERATOR_HEADER, "1")
            .header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        request.body(Full::new(body)).map_err(|error| self.broken(error))
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        ClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            error,
        }
    }

    fn broken(&self, problem: impl ToString) -> ClientError {
        ClientError::Broken {
            endpoint: self.endpoint.clone(),
            problem: problem.to_string(),
        }
    }

    fn refusal(&self, answer: &Answer) -> ClientError {
        let told = serde_json::from_slice(&answer.body).unwrap_or_else(|_| Told {
            error: String::from_utf8_lossy(&answer.body).chars().take(200).collect(),
            hint: String::new(),
        });
        ClientError::Refused {
            endpoint: self.endpoint.clone(),
            status: answer.status,
            told,
        }
    }
}

/// Server-sent events, one after the other.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: BytesMut,
    endpoint: Endpoint,
}

impl Events {
    /// The data of the next event; `None` when the node has ended the stream.
    ///
    /// # Errors
    /// The connection is broken, or a line is too long.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            while let Some(at) = self.read.iter().position(|octet| *octet == b'\n') {
                let line = self.read.split_to(at + 1);
                let line = String::from_utf8_lossy(&line);
                // Comments, which keep the stream alive, and other fields say nothing to us.
                if let Some(data) = line.trim_end().strip_prefix("data:") {
                    return Ok(Some(data.trim_start().to_owned()));
                }
            }
            if self.read.len() > LINE_OCTETS_MAX {
                return Err(self.broken("a line is too long"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(self.broken(error)),
            }
        }
    }

    fn broken(&self, problem: impl ToString) -> ClientError {
        ClientError::Broken {
            endpoint: self.endpoint.clone(),
            problem: problem.to_string(),
        }
    }
}

/// A path with a query, whose values may have any characters.
#[must_use]
pub fn path(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for octet in value.bytes() {
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                text.push(char::from(octet));
            } else {
                // Writing to a String does not fail.
                let _ = write!(text, "%{octet:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_may_have_any_characters() {
        assert_eq!(path("/api/v1/users", &[]), "/api/v1/users");
        assert_eq!(
            path("/api/v1/why", &[("who", "tel:+15550001"), ("limit", "5")]),
            "/api/v1/why?who=tel%3A%2B15550001&limit=5"
        );
        assert_eq!(path("/x", &[("who", "é&\r\n")]), "/x?who=%C3%A9%26%0D%0A");
    }
}
