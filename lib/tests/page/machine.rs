//! Simulated machines for the pictures and for known values: folders that look like `/proc`, kept
//! moving by one thread and read by real clients through `--root`. Smooth and the same in every
//! run.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use realtime_monitor::base::stop::{self, Stop, Stopper};
use realtime_monitor::base::thread::{self, Joined};

/// How often the kernel's files are written anew.
const TICK: Duration = Duration::from_millis(100);

const MIB: f64 = 1_048_576.0;

/// What a machine is like. Every load wanders around its middle.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    /// `--label` of its client.
    pub(crate) label: &'static str,
    pub(crate) cpus: u32,
    /// Share of the CPU time that is used: middle, and how far it swings.
    pub(crate) cpu: (f64, f64),
    pub(crate) memory_gib: u32,
    pub(crate) memory_used: f64,
    /// MiB/s read and written.
    pub(crate) disk: (f64, f64),
    /// Mbit/s in and out.
    pub(crate) network: (f64, f64),
    pub(crate) processes: u32,
    pub(crate) uptime_days: f64,
}

/// Machines whose files move; they stand still when this is dropped.
#[derive(Debug)]
pub(crate) struct Machines {
    _stop: Stopper,
    _mover: Joined,
}

impl Machines {
    /// Writes a root for each machine below `folder`, named like it, and keeps them moving.
    pub(crate) fn start(folder: &Path, machines: &[Machine]) -> Self {
        let mut states: Vec<State> = machines
            .iter()
            .enumerate()
            .map(|(number, machine)| State::new(machine.clone(), number, folder))
            .collect();
        for state in &mut states {
            state.advance(0.0);
        }
        let (stop, stopped) = stop::pair();
        let mover = thread::spawn("machines", move || keep_moving(&mut states, &stopped)).unwrap();
        Self { _stop: stop, _mover: mover }
    }
}

fn keep_moving(states: &mut [State], stopped: &Stop) {
    let mut last = Instant::now();
    while !stopped.wait(TICK) {
        let passed = last.elapsed().as_secs_f64();
        last = Instant::now();
        for state in states.iter_mut() {
            state.advance(passed);
        }
    }
}

/// Counters as the kernel holds them.
#[derive(Debug)]
struct State {
    machine: Machine,
    root: PathBuf,
    phase: f64,
    seconds: f64,
    cpu_ticks: [f64; 8],
    disk_bytes: [f64; 2],
    disk_busy_ms: f64,
    network_bytes: [f64; 2],
    load: f64,
}

impl State {
    fn new(machine: Machine, number: usize, folder: &Path) -> Self {
        let root = folder.join(machine.name);
        for pid in 1..=machine.processes {
            fs::create_dir_all(root.join(format!("proc/{pid}"))).unwrap();
        }
        fs::create_dir_all(root.join("proc/net")).unwrap();
        let load = machine.cpu.0 * f64::from(machine.cpus);
        let phase = number as f64 * 2.4;
        Self {
            machine,
            root,
            phase,
            seconds: 0.0,
            cpu_ticks: [0.0; 8],
            disk_bytes: [0.0; 2],
            disk_busy_ms: 0.0,
            network_bytes: [0.0; 2],
            load,
        }
    }

    /// Between -1 and 1, smooth, and never twice the same within a test.
    fn wander(&self, which: f64) -> f64 {
        let wave = |period: f64, share: f64| {
            share * ((self.seconds / period + which * 0.37) * TAU + self.phase).sin()
        };
        wave(41.0, 0.45) + wave(13.7, 0.35) + wave(4.3, 0.2)
    }

    fn advance(&mut self, passed: f64) {
        self.seconds += passed;
        let machine = &self.machine;
        let busy = (machine.cpu.0 + machine.cpu.1 * self.wander(0.0)).clamp(0.005, 0.995);
        // user, nice, system, idle, iowait, irq, softirq, steal
        let idle = 1.0 - busy;
        let shares = [
            busy * 0.70,
            busy * 0.03,
            busy * 0.20,
            idle * 0.97,
            idle * 0.03,
            0.0,
            busy * 0.06,
            busy * 0.01,
        ];
        let cpus = f64::from(machine.cpus);
        let swing = |which: f64| 1.0 + 0.8 * self.wander(which);
        let disk = [machine.disk.0 * swing(1.0), machine.disk.1 * swing(2.0)];
        let network = [machine.network.0 * swing(3.0), machine.network.1 * swing(4.0)];
        let load = busy * cpus;
        for (ticks, share) in self.cpu_ticks.iter_mut().zip(shares) {
            *ticks += share * cpus * passed * 100.0;
        }
        for way in 0..2 {
            self.disk_bytes[way] += disk[way].max(0.0) * MIB * passed;
            self.network_bytes[way] += network[way].max(0.0) * 125_000.0 * passed;
        }
        let disk_share = ((disk[0] + disk[1]) / 400.0).clamp(0.0, 1.0);
        self.disk_busy_ms += disk_share * passed * 1_000.0;
        self.load += (load - self.load) * (passed / 20.0).min(1.0);
        self.write();
    }

    fn write(&self) {
        let machine = &self.machine;
        let ticks: Vec<String> = self.cpu_ticks.iter().map(|t| format!("{t:.0}")).collect();
        let running = 1 + (self.load / 2.0) as u32;
        let stat = format!(
            "cpu  {} 0 0\ncpu0 {} 0 0\nctxt 1\nbtime 1755604800\nprocesses 9000\n\
             procs_running {running}\nprocs_blocked {}\n",
            ticks.join(" "),
            ticks.join(" "),
            u32::from(self.wander(5.0) > 0.6)
        );
        self.put("stat", &stat);
        self.put("meminfo", &self.meminfo());
        let [read, written] = self.disk_bytes;
        let disk = format!(
            " 259 0 nvme0n1 {:.0} 0 {:.0} 100 {:.0} 0 {:.0} 100 0 {:.0} 200\n",
            read / 65_536.0,
            read / 512.0,
            written / 32_768.0,
            written / 512.0,
            self.disk_busy_ms
        );
        self.put("diskstats", &disk);
        let [received, sent] = self.network_bytes;
        let net = format!(
            "Inter-|   Receive    |  Transmit\n face |bytes packets errs drop fifo frame compressed \
             multicast|bytes packets errs drop fifo colls carrier compressed\n  eth0: {received:.0} \
             {:.0} 0 0 0 0 0 0 {sent:.0} {:.0} 0 0 0 0 0 0\n",
            received / 900.0,
            sent / 900.0
        );
        self.put("net/dev", &net);
        let load = self.load;
        let averages = format!(
            "{load:.2} {:.2} {:.2} {running}/{} 9000\n",
            load * 0.93,
            load * 0.88,
            machine.processes * 3
        );
        self.put("loadavg", &averages);
        let uptime = machine.uptime_days * 86_400.0 + self.seconds;
        self.put("uptime", &format!("{uptime:.2} {:.2}\n", uptime * 0.8));
    }

    fn meminfo(&self) -> String {
        let total = f64::from(self.machine.memory_gib) * MIB;
        let used = total * (self.machine.memory_used + 0.004 * self.wander(6.0));
        let available = total - used;
        format!(
            "MemTotal: {total:.0} kB\nMemFree: {:.0} kB\nMemAvailable: {available:.0} kB\n\
             Buffers: {:.0} kB\nCached: {:.0} kB\nSwapTotal: {:.0} kB\nSwapFree: {:.0} kB\n",
            available * 0.35,
            available * 0.05,
            available * 0.55,
            2.0 * MIB,
            1.9 * MIB
        )
    }

    /// Replaces a file whole, so that nobody reads half of it.
    fn put(&self, name: &str, text: &str) {
        let path = self.root.join("proc").join(name);
        let new = self.root.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    }
}
