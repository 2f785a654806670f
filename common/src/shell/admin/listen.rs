//! Shell: the sockets of the operator's HTTP.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::access::Caller;

/// Connections at a time, of TCP and of the Unix socket each; more are closed at once.
const CONNECTIONS_MAX: usize = 128;
/// How long the head of a request may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Octets of the head of a request.
const HEAD_OCTETS_MAX: usize = 16 * 1024;
/// A pause after a failed accept, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Permissions of the socket: its owner and its group.
const MODE: u32 = 0o660;

/// Serves TCP.
pub(super) fn serve_tcp(listener: TcpListener, routes: Router) {
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            let accepted = async {
                let (stream, peer) = listener.accept().await?;
                let local = stream.local_addr()?;
                stream.set_nodelay(true)?;
                Ok::<_, io::Error>((stream, Caller::Tcp { peer, local }))
            };
            match accepted.await {
                Ok((stream, caller)) => attend(stream, caller, &routes, &open),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    });
}

/// Serves the Unix socket.
pub(super) fn serve_socket(listener: UnixListener, routes: Router) {
    // Not that of TCP, whose clients may be strangers.
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => attend(stream, Caller::Socket, &routes, &open),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    });
}

fn attend(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    caller: Caller,
    routes: &Router,
    open: &Arc<Semaphore>,
) {
    let Ok(permit) = Arc::clone(open).try_acquire_owned() else {
        return;
    };
    let service = TowerToHyperService::new(routes.clone().layer(axum::Extension(caller)));
    tokio::spawn(async move {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(HEAD_OCTETS_MAX);
        // Whoever asked may have gone, or speaks no HTTP.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
        drop(permit);
    });
}

/// The file of a Unix socket, which goes with us.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Ours, and not that of a node that came after us.
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a Unix socket; what a node that died has left there goes.
pub(super) fn bind_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Ok(file) = fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            return Err(io::Error::other(
                "a file is there that is no socket; remove it or choose another path",
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::other(
                "another node answers there; stop it or choose another path",
            ));
        }
    }
    // Nobody meets it before it has its permissions.
    let made = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    let placed = fs::set_permissions(&made, fs::Permissions::from_mode(MODE))
        .and_then(|()| fs::rename(&made, path))
        .and_then(|()| fs::symlink_metadata(path));
    let file = placed.inspect_err(|_| drop(fs::remove_file(&made)))?;
    let socket = SocketFile {
        path: path.to_owned(),
        inode: file.ino(),
    };
    Ok((listener, socket))
}

/// Binds TCP.
pub(super) async fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
