//! Shell: the program with the kernel of this machine, in namespaces that vanish with it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Makes a pair of interfaces and a state of each sort; says the first that cannot be had.
const PROBE: &str = "
try() { what=$1; shift; \"$@\" >/dev/null 2>&1 || { echo \"$what\"; exit 0; }; }
state='ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi'
twenty=0x0102030405060708090a0b0c0d0e0f1011121314
sixteen=0x0102030405060708090a0b0c0d0e0f10
try 'veth interfaces' ip link add name probe0 type veth peer name probe1
try 'ESP with hmac(sha1)' $state 0x1001 mode transport auth-trunc 'hmac(sha1)' $twenty 96 enc 'ecb(cipher_null)' ''
try 'ESP with hmac(md5)' $state 0x1002 mode transport auth-trunc 'hmac(md5)' $sixteen 96 enc 'ecb(cipher_null)' ''
try 'ESP with cbc(aes)' $state 0x1003 mode transport auth-trunc 'hmac(sha1)' $twenty 96 enc 'cbc(aes)' $sixteen
try 'ESP with cbc(des3_ede)' $state 0x1004 mode transport auth-trunc 'hmac(sha1)' $twenty 96 enc 'cbc(des3_ede)' ${sixteen}1112131415161718
try 'ESP with rfc4106(gcm(aes))' $state 0x1005 mode transport aead 'rfc4106(gcm(aes))' $twenty 128
try 'ESP with rfc4543(gcm(aes))' $state 0x1006 mode transport aead 'rfc4543(gcm(aes))' $twenty 128
";

/// Where `ip netns` keeps its names: ours alone.
const ENTER: &str = "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$@\"";

/// What of the suite's needs this kernel lacks, if anything.
pub(crate) fn missing() -> Result<Option<String>> {
    let output = unshared()?
        .args(["sh", "-c", PROBE])
        .stderr(Stdio::null())
        .output()
        .context("cannot run unshare")?;
    if !output.status.success() {
        return Ok(Some("network namespaces for us".to_owned()));
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Some(said).filter(|said| !said.is_empty()))
}

/// `unshare` with what it takes to make network namespaces.
fn unshared() -> Result<Command> {
    let mut command = Command::new("unshare");
    command.env("PATH", super::search_path());
    if super::output(&["id", "-u"])?.trim_ascii() != b"0" {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--"]);
    Ok(command)
}

/// Runs the program in fresh namespaces.
pub(crate) fn run(command: &[String], limit: Duration) -> Result<u8> {
    let mut child = unshared()?
        .args(["sh", "-c", ENTER, "sh"])
        .args(command)
        .spawn()
        .context("cannot run unshare")?;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1));
        }
        if Instant::now() >= end {
            child.kill()?;
            anyhow::bail!("the program was ended after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
