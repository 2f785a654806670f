//! Shell: tests of who may ask a node what, and of what a site answers.

use std::path::PathBuf;

use super::*;
use crate::config::AdminConfig;
use crate::operate::{Endpoint, List, Question, Report};
use crate::shell::admin::Token;
use crate::shell::admin::client::{Client, ClientError, path};

const READ: &str = "read-0123456789abcdef";
const WRITE: &str = "write-0123456789abcdef";

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ims-admin-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_admin(admin: AdminConfig) -> ShellConfig {
    let mut config = config("127.0.0.1:0");
    config.admin = Some(admin);
    config
}

fn open() -> AdminConfig {
    "127.0.0.1:0".parse().unwrap()
}

fn locked(folder: &Folder) -> AdminConfig {
    AdminConfig {
        read_token_file: Some(folder.file("read", &format!("{READ}\n"))),
        write_token_file: Some(folder.file("write", WRITE)),
        ..open()
    }
}

/// Status and body.
async fn ask(address: SocketAddr, request: &str, headers: &[&str]) -> (u16, String) {
    let mut peer = Peer::connect(address).await;
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    text.push_str("\r\n");
    peer.send(&text).await;
    let mut answer = Vec::new();
    timeout(STUCK, peer.stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

fn client(address: SocketAddr) -> Client {
    Client::new(Endpoint::Tcp(address))
}

fn status_of(error: &ClientError) -> u16 {
    match error {
        ClientError::Refused { status, .. } => *status,
        other => panic!("{other}"),
    }
}

#[test]
fn who_has_no_token_or_a_wrong_one_gets_nothing_where_one_is_wanted() {
    let folder = Folder::new("tokens");
    run(
        &with_admin(locked(&folder)),
        Vec::new(),
        quiet,
        async |lab: Lab| {
            let admin = lab.admin.unwrap();
            let bearer = |token: &str| format!("Authorization: Bearer {token}");
            assert_eq!(ask(admin, "GET /health", &[]).await.0, 200);
            assert_eq!(ask(admin, "GET /openapi.json", &[]).await.0, 200);
            for guarded in ["GET /metrics", "GET /api/v1/users", "POST /api/v1/drain"] {
                let (status, body) = ask(admin, guarded, &["X-Ims-Admin: 1"]).await;
                assert_eq!(status, 401, "{guarded}");
                assert!(
                    body.contains("\"error\":\"a token is needed\"") && body.contains("\"hint\":"),
                    "{body}"
                );
            }
            assert_eq!(ask(admin, "GET /metrics", &[&bearer(READ)]).await.0, 200);
            assert_eq!(ask(admin, "GET /api/v1/users", &[&bearer(READ)]).await.0, 200);
            assert_eq!(ask(admin, "GET /api/v1/users", &[&bearer(WRITE)]).await.0, 200);
            assert_eq!(ask(admin, "POST /api/v1/drain", &[&bearer(READ)]).await.0, 403);
            assert_eq!(ask(admin, "POST /api/v1/drain", &[&bearer(WRITE)]).await.0, 202);
            let wrong = client(admin).with_token(Some(Token::new("wrong-0123456789abcdef").unwrap()));
            assert_eq!(status_of(&wrong.get("/api/v1/users").await.unwrap_err()), 401);
            let (_, metrics) = ask(admin, "GET /metrics", &[&bearer(READ)]).await;
            for line in [
                "ims_admin_requests_total{reason=\"no token\"} 3",
                "ims_admin_requests_total{reason=\"read only token\"} 1",
                "ims_admin_requests_total{reason=\"wrong token\"} 1",
            ] {
                assert!(metrics.contains(line), "{line} in {metrics}");
            }
        },
    );
}

#[test]
fn who_guesses_tokens_has_to_wait_and_the_right_one_still_passes() {
    let folder = Folder::new("guesses");
    run(
        &with_admin(locked(&folder)),
        Vec::new(),
        quiet,
        async |lab: Lab| {
            let admin = lab.admin.unwrap();
            let mut statuses = Vec::new();
            for guess in 0..7 {
                let bearer = format!("Authorization: Bearer wrong-{guess}");
                statuses.push(ask(admin, "GET /api/v1/users", &[&bearer]).await.0);
            }
            assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429]);
            let right = format!("Authorization: Bearer {READ}");
            assert_eq!(ask(admin, "GET /api/v1/users", &[&right]).await.0, 200);
        },
    );
}

#[test]
fn a_page_in_a_browser_changes_nothing_and_reads_nothing_by_another_name() {
    run(&with_admin(open()), Vec::new(), quiet, async |lab: Lab| {
        let admin = lab.admin.unwrap();
        let (status, body) = ask(admin, "POST /api/v1/drain", &[]).await;
        assert!(status == 403 && body.contains("X-Ims-Admin"), "{status} {body}");
        for host in [
            "Host: evil.example",
            "Host: evil.example:9091",
            "Host: localhost.evil.example",
        ] {
            assert_eq!(ask(admin, "GET /api/v1/users", &[host]).await.0, 421, "{host}");
        }
        for host in [
            "Host: localhost",
            "Host: LOCALHOST:9091",
            "Host: [::1]:9091",
            "Host: 192.0.2.5",
        ] {
            assert_eq!(ask(admin, "GET /api/v1/users", &[host]).await.0, 200, "{host}");
        }
        let health = ask(admin, "GET /health", &[]).await.1;
        assert!(health.contains("\"status\":\"serving\""), "{health}");
    });
}

#[test]
fn hostile_identities_and_queries_get_400_with_a_reason() {
    run(&with_admin(open()), Vec::new(), quiet, async |lab: Lab| {
        let admin = lab.admin.unwrap();
        let long = "9".repeat(1_000);
        for query in [
            "who=",
            "who=%00",
            "who=a%0d%0aX:%20y",
            "who=%ff%fe",
            "who=a%20b",
            &format!("who={long}"),
            "limit=-1",
            "limit=1e9",
            "scope=world",
            "what=1",
            "who=1&who=2",
        ] {
            let (status, body) = ask(admin, &format!("GET /api/v1/users?{query}"), &[]).await;
            assert_eq!(status, 400, "{query}");
            assert!(
                body.starts_with("{\"error\":\"") && body.len() < 600,
                "{query}: {body}"
            );
        }
        for path in ["/api/v1/why?who=%1b%5b2J", "/api/v1/why", "/api/v1/trace?who="] {
            assert_eq!(ask(admin, &format!("GET {path}"), &[]).await.0, 400, "{path}");
        }
        for odd in ["who=%zz", "who=%F0%9F%93%9E", "who='%3Cscript%3E", "limit=0"] {
            assert_eq!(
                ask(admin, &format!("GET /api/v1/users?{odd}"), &[]).await.0,
                200,
                "{odd}"
            );
        }
        assert_eq!(ask(admin, "GET /api/v1/nothing", &[]).await.0, 404);
        let head = "x".repeat(40_000);
        assert!(ask(admin, &format!("GET /api/v1/users?who={head}"), &[]).await.0 >= 400);
        assert_eq!(ask(admin, "GET /health", &[]).await.0, 200);
    });
}

#[test]
fn a_flood_of_requests_is_refused_and_the_node_can_still_be_watched() {
    run(&with_admin(open()), Vec::new(), quiet, async |lab: Lab| {
        let admin = lab.admin.unwrap();
        let mut peer = Peer::connect(admin).await;
        let (mut served, mut refused) = (0, 0);
        for _ in 0..300 {
            peer.send("GET /api/v1/users HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                .await;
            let head = peer.expect("\r\n\r\n").await;
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            while peer.received.len() < length {
                let mut chunk = [0; 4096];
                let read = timeout(STUCK, peer.stream.read(&mut chunk))
                    .await
                    .unwrap()
                    .unwrap();
                peer.received.extend_from_slice(&chunk[..read]);
            }
            peer.received.drain(..length);
            match head.split(' ').nth(1) {
                Some("200") => served += 1,
                Some("429") => {
                    assert!(head.contains("retry-after: 1"), "{head}");
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(served >= 200 && refused > 0, "{served} {refused}");
        let (status, metrics) = ask(admin, "GET /metrics", &[]).await;
        assert_eq!(status, 200);
        assert!(
            metrics.contains("ims_admin_requests_total{reason=\"too fast\"}"),
            "{metrics}"
        );
    });
}

#[test]
fn the_socket_is_for_its_group_replaces_a_stale_one_and_goes_with_the_node() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("socket");
    let socket = folder.0.join("probe.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a stale one is there");
    let admin = AdminConfig {
        socket: Some(socket.clone()),
        ..locked(&folder)
    };
    let drained = |input: &NetInput| match input {
        NetInput::Command(crate::net::Command::Drain) => vec![NetOutput::Drained],
        _ => Vec::new(),
    };
    let config = with_admin(admin.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let shell = Shell::bind(&config).await.unwrap();
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let twice = with_admin(AdminConfig {
            listen: None,
            ..admin
        });
        let error = Shell::bind(&twice).await.err().unwrap().to_string();
        assert!(error.contains("another node answers there"), "{error}");
        let probe = Probe {
            heard: mpsc::unbounded_channel().0,
            reaction: Box::new(drained),
            outputs: VecDeque::new(),
        };
        let operator = Client::new(Endpoint::Socket(socket.clone()));
        let test = async {
            let report: Report = operator.read("/api/v1/node").await.unwrap();
            assert_eq!(report.nodes[0].node, "probe");
            operator.post("/api/v1/drain", "").await.unwrap();
        };
        let (ended, ()) = tokio::join!(timeout(STUCK, shell.drive(probe)), test);
        ended.unwrap().unwrap();
    });
    assert!(!socket.exists(), "it went with the node");
}

#[test]
fn a_file_that_is_no_socket_or_holds_no_token_refuses_to_start_with_its_key() {
    let folder = Folder::new("files");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let complaint = |admin: AdminConfig| {
        let error = runtime.block_on(Shell::bind(&with_admin(admin))).err().unwrap();
        error.to_string()
    };
    let precious = folder.file("precious", "data");
    let told = complaint(AdminConfig {
        socket: Some(precious.clone()),
        ..open()
    });
    assert!(
        told.starts_with("probe.admin.socket ") && told.contains("no socket"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "data");
    let told = complaint(AdminConfig {
        read_token_file: Some(folder.file("short", "abc")),
        ..open()
    });
    assert!(
        told.starts_with("probe.admin.read_token_file ") && told.contains("16 characters"),
        "{told}"
    );
    assert!(!told.contains("abc"), "{told}");
    let told = complaint(AdminConfig {
        write_token_file: Some(folder.0.join("missing")),
        ..open()
    });
    assert!(told.starts_with("probe.admin.write_token_file "), "{told}");
}

#[test]
fn a_site_answers_as_one_and_names_who_did_not() {
    run(&with_admin(open()), Vec::new(), quiet, async |neighbour: Lab| {
        let other = neighbour.admin.unwrap();
        let dead: Endpoint = "http://127.0.0.1:9".parse().unwrap();
        let admin = AdminConfig {
            neighbours: vec![Endpoint::Tcp(other), dead],
            ..open()
        };
        let shell = Shell::bind(&with_admin(admin)).await.unwrap();
        let asked = client(shell.admin_address().unwrap());
        let probe = Probe {
            heard: mpsc::unbounded_channel().0,
            reaction: Box::new(quiet),
            outputs: VecDeque::new(),
        };
        let test = async {
            let site: Report = asked.read("/api/v1/node?scope=site").await.unwrap();
            let names: Vec<&str> = site.nodes.iter().map(|row| row.node.as_str()).collect();
            assert_eq!(names, ["probe", "probe"]);
            assert_eq!(site.unanswered.len(), 1);
            assert!(
                site.unanswered[0].endpoint.contains("127.0.0.1:9"),
                "{:?}",
                site.unanswered
            );
            let own: Report = asked.read("/api/v1/node").await.unwrap();
            assert_eq!((own.nodes.len(), own.unanswered.len()), (1, 0));
            let limits: Report = asked.read("/api/v1/limits?scope=site&limit=1").await.unwrap();
            assert!(limits.limits.len() == 1 && limits.left_off > 0, "{limits:?}");
        };
        tokio::select! {
            () = test => {}
            ended = shell.drive(probe) => panic!("{ended:?}"),
        }
    });
}

#[test]
fn every_list_is_answered_while_serving_and_while_draining() {
    run(&with_admin(open()), Vec::new(), quiet, async |lab: Lab| {
        let asked = client(lab.admin.unwrap());
        for round in 0..2 {
            for list in List::ALL {
                let name = if list == List::Nodes { "node" } else { list.name() };
                let wanted = path(&format!("/api/v1/{name}"), &[("who", "tel:+15550001")]);
                let answer = asked.get(&wanted).await.unwrap();
                let text = String::from_utf8(answer.body.to_vec()).unwrap();
                assert!(text.contains(&format!("\"{}\":[", list.name())), "{round} {text}");
            }
            asked.post("/api/v1/drain", "").await.unwrap();
        }
        let report: Report = asked.read("/api/v1/node").await.unwrap();
        assert_eq!(report.nodes[0].status, crate::operate::NodeStatus::Draining);
        assert_eq!(Question::of(List::Users).limit, 100);
    });
}

#[test]
fn a_ban_is_lifted_by_the_name_that_the_list_has_for_it() {
    run(&with_admin(open()), Vec::new(), quiet, async |mut lab: Lab| {
        let asked = client(lab.admin.unwrap());
        for (source, address) in [("192.0.2.66", "192.0.2.66"), ("2001:db8:1::/64", "2001:db8:1::")] {
            let wanted = path("/api/v1/unban", &[("source", source)]);
            asked.post(&wanted, "").await.unwrap();
            let NetInput::Command(crate::net::Command::Unban(lifted)) = lab.hears().await else {
                panic!("a command");
            };
            assert_eq!(lifted.to_string(), address);
        }
        let wrong = asked.post("/api/v1/unban?source=everybody", "").await;
        assert_eq!(status_of(&wrong.unwrap_err()), 400);
    });
}

#[test]
fn the_description_has_every_route_and_says_who_refuses() {
    run(&with_admin(open()), Vec::new(), quiet, async |lab: Lab| {
        let asked = client(lab.admin.unwrap());
        let document: serde_json::Value = asked.read("/openapi.json").await.unwrap();
        assert!(
            document["openapi"].as_str().unwrap().starts_with("3."),
            "{document}"
        );
        let paths = document["paths"].as_object().unwrap();
        for (route, method) in [
            ("/health", "get"),
            ("/metrics", "get"),
            ("/api/v1/node", "get"),
            ("/api/v1/users", "get"),
            ("/api/v1/contacts", "get"),
            ("/api/v1/sessions", "get"),
            ("/api/v1/sas", "get"),
            ("/api/v1/peers", "get"),
            ("/api/v1/limits", "get"),
            ("/api/v1/bans", "get"),
            ("/api/v1/why", "get"),
            ("/api/v1/findings", "get"),
            ("/api/v1/trace", "get"),
            ("/api/v1/drain", "post"),
            ("/api/v1/deregister", "post"),
            ("/api/v1/reauthenticate", "post"),
            ("/api/v1/unban", "post"),
        ] {
            let operation = &paths[route][method];
            assert!(operation["responses"].is_object(), "{method} {route}");
        }
        // What is described is served, and nothing else is.
        for route in paths.keys() {
            let (status, _) = ask(lab.admin.unwrap(), &format!("PATCH {route}"), &[]).await;
            assert_eq!(status, 405, "{route}");
        }
        // Every reference leads somewhere.
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(
            !text.contains("\"ck\"") && !text.contains("\"ik\""),
            "a key has no place here"
        );
    });
}
