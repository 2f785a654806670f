//! Shell: the files of charging data records in their directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cdr::UtcMillis;
use crate::steering::ShardPlace;

/// A file that is done.
const DONE: &str = "jsonl";
/// A file that is written.
const PART: &str = "jsonl.part";

/// The first line of each file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Head {
    /// `file`
    pub(super) kind: String,
    /// Of this layout.
    pub(super) version: u32,
    /// When the file was begun.
    pub(super) at: UtcMillis,
    /// The number of the first file that holds a record which was open then.
    pub(super) open_since: u64,
}

/// A line that says only that the node is alive.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Mark {
    /// `mark`
    pub(super) kind: String,
    pub(super) at: UtcMillis,
}

/// The files of one shard.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    /// `NODE-SHARD`.
    stem: String,
    place: ShardPlace,
    name: String,
    /// Locked while this process has the files.
    _lock: File,
}

/// One of them.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) is_done: bool,
}

impl Files {
    /// Makes the directory, and makes sure that nobody else writes these files.
    pub(super) fn take(directory: PathBuf, name: &str, place: ShardPlace) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&directory)?;
        let stem = format!("{name}-{}", place.shard.0);
        let lock = options()
            .create(true)
            .truncate(false)
            .open(directory.join(format!("{stem}.lock")))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another process writes its records here"),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            directory,
            stem,
            place,
            name: name.to_owned(),
            _lock: lock,
        })
    }

    /// Begins a file.
    pub(super) fn create(&self, number: u64) -> io::Result<File> {
        options().create_new(true).open(self.path(number, PART))
    }

    /// A file is done: from now on nobody writes it.
    pub(super) fn finish(&self, number: u64) -> io::Result<()> {
        fs::rename(self.path(number, PART), self.path(number, DONE))
    }

    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.directory
            .join(format!("{}-{number:09}.{extension}", self.stem))
    }

    /// The files of this shard, in order.
    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        self.list_of(&self.stem)
    }

    /// Those of shards that there are no more: the first shard looks after them.
    pub(super) fn list_of_gone_shards(&self) -> io::Result<Vec<Vec<Listed>>> {
        if self.place.shard.0 != 0 {
            return Ok(Vec::new());
        }
        let gone = self.place.of..crate::steering::SHARDS_MAX;
        gone.map(|shard| self.list_of(&format!("{}-{shard}", self.name)))
            .filter(|listed| listed.as_ref().is_ok_and(|files| !files.is_empty()))
            .collect()
    }

    fn list_of(&self, stem: &str) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            listed.extend(read_name(&path, stem).map(|(number, is_done)| Listed {
                number,
                path: path.clone(),
                is_done,
            }));
        }
        listed.sort();
        Ok(listed)
    }

    /// Removes files that are done and older than the last `keep`, but none from `needed` on.
    pub(super) fn remove_old(&self, keep: usize, needed: u64) -> io::Result<()> {
        let done: Vec<_> = self.list()?.into_iter().filter(|file| file.is_done).collect();
        let old = done.len().saturating_sub(keep);
        for file in done.iter().take(old).filter(|file| file.number < needed) {
            fs::remove_file(&file.path)?;
        }
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o640);
    options
}

/// Number and state of a file by its name.
fn read_name(path: &Path, stem: &str) -> Option<(u64, bool)> {
    let name = path.file_name()?.to_str()?;
    let (number, extension) = name.strip_prefix(stem)?.strip_prefix('-')?.split_once('.')?;
    let is_done = match extension {
        DONE => true,
        PART => false,
        _ => return None,
    };
    Some((number.parse().ok()?, is_done))
}

impl Listed {
    /// What the first line says; `None` when it is torn.
    pub(super) fn head(&self) -> Option<Head> {
        let mut line = String::new();
        BufReader::new(File::open(&self.path).ok()?)
            .read_line(&mut line)
            .ok()?;
        serde_json::from_str(&line).ok()
    }

    /// For appending behind its last whole line: what is behind it was never acknowledged to anybody.
    pub(super) fn done_after(&self, octets: u64) -> io::Result<()> {
        if !self.is_done {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(octets)?;
            file.sync_data()?;
            fs::rename(&self.path, self.path.with_extension(""))?;
        }
        Ok(())
    }
}
