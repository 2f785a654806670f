//! Shell: a node as several shards, each with a thread, a runtime, a driver and sockets of its own.

use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};

use rand::RngCore;

use super::bound::{Post, Shell, ShellError, queue_of};
use super::crew::Crew;
use super::driver::Driver;
use super::export::Exports;
use super::reload::{self, Apply, ConfigFile, Reader, Reloading};
use super::rest::Rest;
use crate::config::{ConfigError, DaemonConfig, LimitsConfig};
use crate::net::Interface;
use crate::node::{Seed, Sharded};
use crate::steering::{ShardPlace, Steering};
use crate::telemetry::log::{LeftOut, LogControl};
use crate::token::ShardId;

/// Keeps the secret of the steering apart from the random numbers of the node.
const STEERING_STREAM: u8 = b'H';

type WordOf<C> = <<C as DaemonConfig>::Node as Sharded>::Word;

/// Where the configuration came from, and what else of the process it speaks of.
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) log: LogControl,
}

/// Runs all shards of a node: the first one in this thread, whose runtime it needs. Returns when all have ended.
///
/// # Errors
/// As for [`Shell::bind`] and [`Shell::drive`].
pub(super) async fn serve<C: DaemonConfig>(
    config: &C,
    seed: Seed,
    rest: Rest,
    left_out: LeftOut,
    origin: Origin,
) -> Result<(), ServeError> {
    let reader: Arc<dyn Reader> = Arc::new(ConfigFile::new(origin.path, config.clone(), origin.log));
    let reloading = Some(Reloading {
        apply: reload::apply::<C>,
        reader: Some(reader),
    });
    let shards = config.shards();
    let place = |number| ShardPlace {
        shard: ShardId(number),
        of: shards,
    };
    let (node, shell_config) = config.clone().build_shard(seed, place(0))?;
    if shards == 1 {
        let shell = Shell::bind(&shell_config).await?;
        let shell = shell.with_log(left_out).with_rest(rest);
        return Ok(shell.drive_first(node, None, reloading).await?);
    }
    let mut rng = seed.rng(STEERING_STREAM);
    let steering = Steering::new(C::STEERING, shards, (rng.next_u64(), rng.next_u64()));
    let mut posts = Post::all(shards, &shell_config).into_iter();
    let mut crews = Crew::all(steering, shards, queue_of(&shell_config)).into_iter();
    let (Some(post), Some(crew)) = (posts.next(), crews.next()) else {
        unreachable!("there is a first shard");
    };
    let first = Shell::bind_first(&shell_config, post).await?;
    let first = first.with_log(left_out).with_rest(rest);
    let mut threads = Vec::new();
    for (post, crew) in posts.zip(crews) {
        let shard = OtherShard {
            config: config.clone(),
            seed,
            limits: LimitsConfig::clone(&first.context.limits),
            post,
            sockets: first.more_sockets(&shell_config, crew.place())?,
            crew,
            exports: first.exports.clone(),
        };
        threads.push(shard.start()?);
    }
    first.steer_in_kernel(&steering);
    first.drive_first(node, Some(crew), reloading).await?;
    for thread in threads {
        // One that has panicked has ended the process.
        let _ = thread.join();
    }
    Ok(())
}

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// What the configuration says cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it asks of the machine cannot be had.
    #[error(transparent)]
    Shell(#[from] ShellError),
}

/// All that a shard takes with it into its thread.
struct OtherShard<C: DaemonConfig> {
    config: C,
    seed: Seed,
    limits: LimitsConfig,
    post: Post,
    sockets: Vec<(Interface, UdpSocket)>,
    crew: Crew<WordOf<C>>,
    exports: Exports,
}

impl<C: DaemonConfig> OtherShard<C> {
    /// Starts the thread and waits until it serves.
    fn start(self) -> Result<JoinHandle<()>, ServeError> {
        let (report, reported) = std_mpsc::channel();
        let name = format!("shard-{}", self.crew.place().shard.0);
        let run = move || {
            let _guard = EndOfAll;
            self.run(&report);
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(run)
            .map_err(ShellError::Start)?;
        let gone = || ShellError::Start(io::Error::other("a shard ended before it had begun"));
        reported.recv().map_err(|_| gone())??;
        Ok(thread)
    }

    fn run(self, report: &std_mpsc::Sender<Result<(), ServeError>>) {
        let rest = Rest::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(rest.before_park(self.limits.rest.get()))
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = report.send(Err(ShellError::Start(error).into()));
                return;
            }
        };
        runtime.block_on(async {
            match self.driver(rest) {
                Ok(driver) => {
                    let _ = report.send(Ok(()));
                    driver.run(None).await;
                }
                Err(error) => drop(report.send(Err(error))),
            }
        });
    }

    fn driver(self, rest: Rest) -> Result<Driver<C::Node>, ServeError> {
        let place = self.crew.place();
        let seed = self.seed.of_shard(place.shard);
        let (node, shell_config) = self.config.build_shard(seed, place)?;
        let shell = Shell::join(&shell_config, self.limits, self.post, self.sockets)?;
        let shell = shell.with_rest(rest).with_exports(self.exports);
        let reloading = Reloading {
            apply: reload::apply::<C> as Apply<C::Node>,
            reader: None,
        };
        Ok(Driver::new(node, shell, Some(self.crew), Some(reloading)))
    }
}

/// A shard that panics takes the process with it: what it owned is lost, and nobody else could serve it.
struct EndOfAll;

impl Drop for EndOfAll {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
