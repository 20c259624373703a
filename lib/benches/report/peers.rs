//! Other monitors, each as a private process that touches nothing outside a scratch folder.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use realtime_monitor::base::stop::{self, Stopper};
use realtime_monitor::base::thread::{self, Joined};

use super::support::http;
use super::support::program::command;
use super::support::wait;

/// A peer that runs until it is dropped.
pub struct Peer {
    child: Child,
    /// Asks it for its metrics every second, where it is one that has to be asked.
    _scraper: Option<(Stopper, Joined)>,
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's node_exporter with its default collectors, scraped every second.
pub fn node_exporter() -> Result<Peer, String> {
    let program = find("prometheus-node-exporter")?;
    let address = free_address()?;
    let child = command(program)
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("prometheus-node-exporter: {error}"))?;
    let mut peer = Peer { child, _scraper: None };
    wait::until("node_exporter answers", Duration::from_secs(10), || {
        http::get(address, "/metrics").is_ok().then_some(())
    });
    let (stopper, stopped) = stop::pair();
    let scrape = move || {
        while !stopped.wait(Duration::from_secs(1)) {
            let _ = http::get(address, "/metrics");
        }
    };
    let scraper = thread::spawn("scraper", scrape).map_err(|error| error.to_string())?;
    peer._scraper = Some((stopper, scraper));
    Ok(peer)
}

/// collectd with the plugins that read what our collectors read, writing CSV every second.
pub fn collectd(folder: &Path) -> Result<Peer, String> {
    let program = find("collectd")?;
    let settings = folder.join("collectd.conf");
    let place = folder.display();
    let mut text = format!(
        "Hostname \"bench\"\nFQDNLookup false\nInterval 1\nBaseDir \"{place}\"\n\
         PIDFile \"{place}/collectd.pid\"\nTypesDB \"/usr/share/collectd/types.db\"\n"
    );
    for plugin in ["cpu", "memory", "disk", "interface", "processes", "load", "uptime", "csv"] {
        text.push_str(&format!("LoadPlugin {plugin}\n"));
    }
    text.push_str(&format!("<Plugin csv>\n  DataDir \"{place}/csv\"\n</Plugin>\n"));
    std::fs::write(&settings, text).map_err(|error| format!("{}: {error}", settings.display()))?;
    let child = command(program)
        .arg("-f")
        .arg("-C")
        .arg(&settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("collectd: {error}"))?;
    let peer = Peer { child, _scraper: None };
    let csv = folder.join("csv");
    wait::until("collectd writes", Duration::from_secs(10), || csv.exists().then_some(()));
    Ok(peer)
}

/// Where a daemon is: Debian keeps some where only root's PATH finds them.
fn find(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    let places = path.split(':').map(|folder| Path::new(folder).join(name));
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| format!("{name} is missing; 'bin/setup.sh bench' installs it"))
}

/// An address that nobody listens on at this moment.
fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}
