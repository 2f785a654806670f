//! Shell: a daemon locks itself in before it hears the first word of a stranger.
//!
//! Read first: capabilities(7), landlock(7), seccomp(2). Done in the first thread before there is another one, for what
//! a thread gives away its children do not have. Opened later are: the sockets of the configuration, `/proc`, and the
//! files that [`Plan`] names. Programs are never started, and nothing is gained by a fault that is not asked for here:
//!
//! * capabilities: all but CAP_NET_BIND_SERVICE, and with IPsec CAP_NET_ADMIN, are given away;
//! * landlock: files beside those of the plan cannot be opened, whatever their permissions; no signals to others;
//! * seccomp: system calls that start programs, load code into the kernel, look into other processes, change users, make
//!   namespaces or speak odd protocols fail with EPERM;
//! * no core dumps: they would hold keys.
//!
//! A unit of systemd does the same and more from outside (`deploy/systemd`); this holds in containers and by hand too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::ShellError;
use crate::config::{Harden, ShellConfig};

/// What every daemon reads: what the kernel tells, names, time zone, chance (where the C library is linked statically).
const READ_BY_ALL: [&str; 8] = [
    "/proc",
    "/sys",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/dev/random",
    "/dev/urandom",
];
/// Folders with more than configurations in them: of these only the file itself is opened.
const TOO_WIDE: [&str; 5] = ["/", "/etc", "/home", "/root", "/tmp"];
/// The landlock that is asked for; an older kernel gives what it has.
const LANDLOCK: ABI = ABI::V6;

/// What a daemon still needs when it serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Files, and folders with all that is in them, that are read.
    pub read: Vec<PathBuf>,
    /// Folders in which files are made, written, renamed and removed.
    pub write: Vec<PathBuf>,
    /// States and policies of IPsec in the kernel.
    pub ipsec: bool,
}

impl Plan {
    /// What this configuration, which was read from this file, comes to.
    #[must_use]
    pub fn of(file: &Path, config: &ShellConfig) -> Self {
        let mut read: Vec<PathBuf> = READ_BY_ALL.iter().map(PathBuf::from).collect();
        read.push(readable(file));
        let mut write = config.writes.clone();
        if let Some(admin) = &config.admin {
            let tokens = [&admin.read_token_file, &admin.write_token_file];
            read.extend(tokens.into_iter().flatten().map(|file| readable(file)));
            write.extend(
                admin
                    .socket
                    .iter()
                    .filter_map(|socket| socket.parent())
                    .map(Path::to_owned),
            );
        }
        read.extend(config.reads.iter().map(|file| readable(file)));
        Self {
            read,
            write,
            ipsec: config.protected.is_some(),
        }
    }

    fn capabilities(&self) -> CapsHashSet {
        let mut kept = CapsHashSet::from([Capability::CAP_NET_BIND_SERVICE]);
        if self.ipsec {
            kept.insert(Capability::CAP_NET_ADMIN);
        }
        kept
    }
}

/// The folder of a file, so that one that replaces it is read too; the file alone where the folder is everybody's.
fn readable(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    match file.parent() {
        Some(folder) if !TOO_WIDE.iter().any(|wide| folder == Path::new(wide)) => folder.to_owned(),
        Some(_) | None => file,
    }
}

/// What holds now, and what could not be had.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Enclosure {
    /// What holds.
    pub held: Vec<&'static str>,
    /// What this kernel or this container does not let a process do for itself.
    pub left_out: Vec<String>,
}

impl fmt::Display for Enclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.left_out.join("; "))
    }
}

impl Enclosure {
    fn note(&mut self, what: &'static str, result: Result<(), String>) {
        match result {
            Ok(()) => self.held.push(what),
            Err(error) => self.left_out.push(format!("{what}: {error}")),
        }
    }

    /// One line in the log.
    pub(super) fn tell(&self, wanted: Harden) {
        match wanted {
            Harden::Off => tracing::info!("not locked in: harden is off"),
            Harden::Auto | Harden::Require if self.left_out.is_empty() => {
                tracing::info!(held = ?self.held, "locked in");
            }
            Harden::Auto | Harden::Require => {
                tracing::warn!(held = ?self.held, left_out = %self, "locked in as far as this system can");
            }
        }
    }
}

/// Does what the configuration in this file wants.
///
/// # Errors
/// It wants all, and something cannot be had.
pub(super) fn apply(file: &Path, config: &ShellConfig) -> Result<Enclosure, ShellError> {
    let enclosure = match config.harden {
        Harden::Off => Enclosure::default(),
        Harden::Auto | Harden::Require => enclose(&Plan::of(file, config)),
    };
    if config.harden == Harden::Require && !enclosure.left_out.is_empty() {
        return Err(ShellError::Harden(enclosure.to_string()));
    }
    Ok(enclosure)
}

/// Locks this thread in, and all that it starts from now on. There is no way back.
pub fn enclose(plan: &Plan) -> Enclosure {
    let mut enclosure = Enclosure::default();
    enclosure.note("no core dumps", no_core_dumps());
    enclosure.note("capabilities", give_capabilities_away(&plan.capabilities()));
    // Before the filter, which lets no landlock through to a narrower one later.
    enclosure.note("landlock", restrict_files(plan));
    enclosure.note("seccomp", restrict_calls());
    enclosure
}

fn no_core_dumps() -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| error.to_string())
}

/// Without a change when nothing is too much: a unit of systemd forbids the change itself.
fn give_capabilities_away(kept: &CapsHashSet) -> Result<(), String> {
    let text = |error: caps::errors::CapsError| error.to_string();
    for set in [CapSet::Effective, CapSet::Permitted] {
        let has = caps::read(None, set).map_err(text)?;
        let keeps: CapsHashSet = has.intersection(kept).copied().collect();
        if keeps != has {
            caps::set(None, set, &keeps).map_err(text)?;
        }
    }
    Ok(())
}

fn restrict_files(plan: &Plan) -> Result<(), String> {
    let status = ruleset(plan)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        // An older kernel knows fewer rights; what it knows is held.
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("this kernel has none (lsm=landlock,… at boot)".to_owned()),
    }
}

fn ruleset(plan: &Plan) -> Result<RulesetCreated, landlock::RulesetError> {
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let change =
        AccessFs::from_all(LANDLOCK) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::Signal)?
        .create()?;
    let reads = plan.read.iter().map(|path| (path.as_path(), look));
    for folder in &plan.write {
        // Later it could not be made any more. Who cannot make it now is told when it is used.
        let _ = std::fs::create_dir_all(folder);
    }
    let writes = plan.write.iter().map(|path| (path.as_path(), change));
    let null = (Path::new("/dev/null"), look | AccessFs::WriteFile);
    for (path, access) in reads.chain(writes).chain([null]) {
        created = allow(created, path, access)?;
    }
    Ok(created)
}

/// What is not there cannot be opened anyway.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(LANDLOCK)
    };
    ruleset.add_rule(PathBeneath::new(opened, access))
}

/// System calls that no daemon of ours makes and that whoever has broken into one would.
const REFUSED: [i64; 49] = [
    // Programs, and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Code in the kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    // Users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // Keys, clocks, the machine.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_sethostname,
    libc::SYS_acct,
    libc::SYS_quotactl,
];
/// The namespaces that a new process could be born into.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
/// Whose sockets are opened.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

fn restrict_calls() -> Result<(), String> {
    let text = |error: seccompiler::BackendError| error.to_string();
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    refused.insert(libc::SYS_socket, vec![odd_family().map_err(text)?]);
    let born = NAMESPACES.iter().map(|flag| with_flag(*flag));
    refused.insert(libc::SYS_clone, born.collect::<Result<_, _>>().map_err(text)?);
    // The flags of clone3 are in memory, where no filter looks: the C library then takes clone.
    let newer = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, errno) in [(newer, libc::ENOSYS), (refused, libc::EPERM)] {
        let filter = filter(rules, errno).map_err(text)?;
        apply_filter(&filter).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: libc::c_int,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture)?.try_into()
}

fn odd_family() -> Result<SeccompRule, seccompiler::BackendError> {
    let differs = |family: &libc::c_int| {
        let value = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
    };
    SeccompRule::new(FAMILIES.iter().map(differs).collect::<Result<_, _>>()?)
}

fn with_flag(flag: libc::c_int) -> Result<SeccompRule, seccompiler::BackendError> {
    let bit = u64::from(flag.unsigned_abs());
    let has = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
    SeccompRule::new(vec![has])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_configuration_is_read_unless_it_is_everybodys() {
        assert_eq!(readable(Path::new("/etc/ims/pcscf.yaml")), Path::new("/etc/ims"));
        assert_eq!(
            readable(Path::new("/etc/pcscf.yaml")),
            Path::new("/etc/pcscf.yaml")
        );
        assert_eq!(readable(Path::new("/pcscf.yaml")), Path::new("/pcscf.yaml"));
    }

    #[test]
    fn only_ipsec_keeps_the_right_to_configure_the_network() {
        let mut config = ShellConfig::new("pcscf", Vec::new());
        config.writes = vec!["/var/lib/ims/cdr".into()];
        let plan = Plan::of(Path::new("/etc/ims/pcscf.yaml"), &config);
        assert_eq!(plan.write, [Path::new("/var/lib/ims/cdr")]);
        config.admin = Some(crate::config::AdminConfig {
            socket: Some("/run/ims/pcscf.sock".into()),
            write_token_file: Some("/etc/ims-admin/write".into()),
            ..crate::config::AdminConfig::default()
        });
        let with_admin = Plan::of(Path::new("/etc/ims/pcscf.yaml"), &config);
        let folders = ["/var/lib/ims/cdr", "/run/ims"].map(Path::new);
        assert_eq!(with_admin.write, folders);
        assert!(with_admin.read.contains(&PathBuf::from("/etc/ims-admin")));
        assert!(!plan.capabilities().contains(&Capability::CAP_NET_ADMIN));
        let with_ipsec = Plan { ipsec: true, ..plan };
        assert!(with_ipsec.capabilities().contains(&Capability::CAP_NET_ADMIN));
    }

    #[test]
    fn the_filter_of_system_calls_is_a_program() {
        assert!(filter(REFUSED.iter().map(|call| (*call, Vec::new())).collect(), 1).is_ok());
        assert!(odd_family().is_ok());
        assert!(NAMESPACES.iter().all(|flag| with_flag(*flag).is_ok()));
    }
}
