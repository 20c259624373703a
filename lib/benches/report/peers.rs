//! Other monitors, each as a private process that touches nothing outside a scratch folder.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use realtime_monitor::base::stop::{self, Stopper};
use realtime_monitor::base::thread::{self, Joined};
use realtime_monitor::metric::Frame;

use super::course::{Course, Recorded};
use super::past::Past;
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

/// Prometheus on blocks that are there, scraping nothing, and where it is asked.
pub fn prometheus(folder: &Path) -> Result<(Peer, SocketAddr), String> {
    let program = find("prometheus")?;
    let settings = folder.join("../prometheus.yml");
    std::fs::write(&settings, "{}\n").map_err(|error| error.to_string())?;
    let address = free_address()?;
    let child = command(program)
        .arg(format!("--config.file={}", settings.display()))
        .arg(format!("--storage.tsdb.path={}", folder.display()))
        .arg(format!("--web.listen-address={address}"))
        // Blocks are left as they are.
        .args(["--storage.tsdb.retention.time=1y", "--log.level=error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("prometheus: {error}"))?;
    let peer = Peer { child, _scraper: None };
    wait::until("Prometheus is ready", Duration::from_secs(60), || {
        http::get(address, "/-/ready").ok().filter(|answer| answer.status == 200).map(|_| ())
    });
    Ok((peer, address))
}

/// The samples of the first host of a past as blocks of Prometheus in `folder`, made by promtool.
pub fn prometheus_blocks(folder: &Path, past: &Past) -> Result<PathBuf, String> {
    /// Of a block; promtool reads its input anew for each.
    const BLOCK_MS: u64 = 7_200_000;
    let promtool = find("promtool")?;
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let recorded = Recorded::read()?;
    let mut course = Course::new(&recorded, (0, past.hosts), past.from_ms);
    let text = folder.with_extension("txt");
    let mut from_ms = past.from_ms;
    while from_ms < past.to_ms {
        let to_ms = ((from_ms / BLOCK_MS + 1) * BLOCK_MS).min(past.to_ms);
        let frames: Vec<Frame> = (from_ms / 1_000..to_ms / 1_000).map(|_| course.next()).collect();
        open_metrics(&text, &course.host, &frames).map_err(|error| error.to_string())?;
        let made = command(&promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, folder])
            .output()
            .map_err(|error| format!("promtool: {error}"))?;
        if !made.status.success() {
            return Err(format!("promtool: {}", String::from_utf8_lossy(&made.stderr)));
        }
        from_ms = to_ms;
    }
    let _ = std::fs::remove_file(text);
    Ok(folder.to_owned())
}

/// Frames of one layout as OpenMetrics text, series by series.
fn open_metrics(path: &Path, host: &str, frames: &[Frame]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let layout = frames.first().map(|frame| frame.samples.layout.clone());
    for (at, key) in layout.iter().flat_map(|layout| layout.iter()).enumerate() {
        let labels = key.labels();
        let labels: String =
            labels.iter().map(|(name, value)| format!(",{name}=\"{value}\"")).collect();
        for frame in frames {
            let value = frame.samples.values[at].as_f64();
            let time = frame.time_ms as f64 / 1e3;
            writeln!(out, "{}{{host=\"{host}\"{labels}}} {value} {time}", key.name())?;
        }
    }
    writeln!(out, "# EOF")?;
    out.flush()
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
