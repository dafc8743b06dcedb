//! Machines of a test: network namespaces joined by a bridge in a namespace of its own.
//!
//! Promise: names hold this process's id, and everything is removed when the network is dropped; nothing outside these
//! namespaces is touched. Needs root and `ip` (Debian's iproute2).

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// The address of a network card that no machine has.
const NOBODY: &str = "02:00:00:00:00:fe";

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A bridge with hosts 10.77.0.1, 10.77.0.2, ...
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: usize,
}

impl Network {
    /// Makes a network of `hosts` machines, or says why this machine cannot.
    ///
    /// # Errors
    /// Without root, without `ip`, or where namespaces are forbidden.
    pub fn new(hosts: usize) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { prefix: format!("sl{}x{number}", std::process::id()), hosts };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for host in 0..self.hosts {
            let (name, port) = (self.host(host), format!("p{host}"));
            ip(&["netns", "add", &name])?;
            ip(&["-n", &name, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &switch])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0"])?;
            ip(&["-n", &switch, "link", "set", &port, "up"])?;
            ip(&["-n", &name, "addr", "add", &format!("{}/24", Self::address(host)), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// The address of a host, counted from 0.
    ///
    /// # Panics
    /// For more than 254 hosts.
    #[must_use]
    pub fn address(host: usize) -> Ipv4Addr {
        let last = u8::try_from(host + 1).expect("a network has at most 254 hosts");
        Ipv4Addr::new(10, 77, 0, last)
    }

    /// A command that runs on a host.
    #[must_use]
    pub fn on(&self, host: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host)]).arg(program);
        command
    }

    /// Runs a command on a host to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, host: usize, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
        self.on(host, program).args(arguments).output().expect("ip starts, since it made the network")
    }

    /// Cuts a host off, or joins it again.
    ///
    /// # Panics
    /// When the link cannot be changed.
    pub fn set_link(&self, host: usize, link: Link) {
        let state = match link {
            Link::Up => "up",
            Link::Down => "down",
        };
        ip(&["-n", &self.switch(), "link", "set", &format!("p{host}"), state]).expect("the bridge's port exists");
    }

    /// Loses what one host sends another from now on, or no longer; the way back stays as it is.
    ///
    /// The sender takes a machine that does not exist for the other: its packets reach no one, and it is not told.
    ///
    /// # Panics
    /// When the sender's table of neighbours cannot be changed.
    pub fn set_way(&self, from: usize, to: usize, way: Link) {
        let (host, to) = (self.host(from), Self::address(to).to_string());
        match way {
            Link::Down => {
                let nobody =
                    ["-n", &host, "neigh", "replace", &to, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
                ip(&nobody).expect("a host's neighbours can be set");
            }
            // It may be that it was not lost.
            Link::Up => drop(ip(&["-n", &host, "neigh", "del", &to, "dev", "eth0"])),
        }
    }

    /// The way into a host for a thread of the test.
    #[must_use]
    pub fn entrance(&self, host: usize) -> Entrance {
        Entrance(Path::new("/var/run/netns").join(self.host(host)))
    }

    fn host(&self, host: usize) -> String {
        format!("{}h{host}", self.prefix)
    }

    fn switch(&self) -> String {
        format!("{}sw", self.prefix)
    }
}

/// A host that a thread can move to.
#[derive(Clone, Debug)]
pub struct Entrance(PathBuf);

impl Entrance {
    /// Moves the calling thread there: what it connects to from now on it reaches from there.
    ///
    /// # Errors
    /// When the host's namespace cannot be entered.
    pub fn enter(&self) -> std::io::Result<()> {
        let namespace = std::fs::File::open(&self.0)?;
        Ok(nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?)
    }
}

/// The state of a host's cable.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// Connected.
    Up,
    /// Pulled.
    Down,
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            drop(ip(&["netns", "del", &self.host(host)]));
        }
        drop(ip(&["netns", "del", &self.switch()]));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("ip").args(arguments).output().map_err(|error| format!("ip (Debian's iproute2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
