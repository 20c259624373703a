//! Which network interfaces count, by name and by what the kernel says about them.
//!
//! A packet of a container or of a tagged network passes several interfaces; it is counted where
//! it leaves the machine.

use std::path::{Path, PathBuf};

/// The loopback interface; its bytes go nowhere.
const LOOPBACK: &str = "lo";

/// Beginnings of names that are filtered: one end of a container's cable, and the bridges of
/// docker and libvirt.
const FILTERED: [&str; 4] = ["veth", "docker", "br-", "virbr"];

/// `DEVTYPE` of interfaces whose packets another one counts as well.
const FILTERED_TYPES: [&str; 3] = ["vlan", "bond", "bridge"];

/// Where the kernel describes interfaces.
#[derive(Debug)]
pub(super) struct Places {
    /// `/proc/net` or the host's equivalent: `bonding/NAME`, `vlan/NAME`.
    pub(super) net: PathBuf,
    /// `/sys/class/net`: `NAME/bonding`, `NAME/bridge`, `NAME/uevent`.
    pub(super) class: PathBuf,
}

/// Which of the interfaces of one reading count; when none would, everything but loopback: in a
/// container `eth0` may be all there is, whatever it is made of.
pub(super) fn decide(names: &[String], places: &Places) -> Vec<bool> {
    let kept: Vec<_> = names.iter().map(|name| !is_filtered(name, places)).collect();
    if kept.contains(&true) {
        return kept;
    }
    names.iter().map(|name| name != LOOPBACK).collect()
}

fn is_filtered(name: &str, places: &Places) -> bool {
    name == LOOPBACK
        || FILTERED.iter().any(|start| name.starts_with(start))
        || is_on_top(name, places)
}

/// Whether it is a VLAN, the master of a bond, or a bridge: made of other interfaces.
fn is_on_top(name: &str, Places { net, class }: &Places) -> bool {
    // The kernel allows no slash in a name; one from a damaged file must not lead elsewhere.
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return false;
    }
    let described = [
        net.join("bonding").join(name),
        net.join("vlan").join(name),
        class.join(name).join("bonding"),
        class.join(name).join("bridge"),
    ];
    described.iter().any(|path| path.exists()) || is_of_filtered_type(&class.join(name))
}

fn is_of_filtered_type(interface: &Path) -> bool {
    // A few lines of the kernel's own; absent without /sys.
    let uevent = std::fs::read_to_string(interface.join("uevent")).unwrap_or_default();
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    kind.is_some_and(|kind| FILTERED_TYPES.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::Tree;

    /// What counts of these interfaces in a tree of these files.
    #[track_caller]
    fn check(names: &str, files: &[(&str, &str)], expected: &str) {
        let line = std::panic::Location::caller().line();
        let tree = Tree::new(&format!("interface-name-{line}"));
        for (path, text) in files {
            tree.write(path, text);
        }
        let places = Places { net: tree.path("proc/net"), class: tree.path("sys/class/net") };
        let names: Vec<_> = names.split(' ').map(str::to_owned).collect();
        let included = decide(&names, &places);
        let kept: Vec<_> =
            names.iter().zip(included).filter(|(_, kept)| *kept).map(|(name, _)| name).collect();
        assert_eq!(kept, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn by_name() {
        check(
            "lo eth0 enp3s0f1 wlan0 wg0 veth12ab docker0 br-0a1b2c virbr0 virbr0-nic lower br0",
            &[],
            "eth0 enp3s0f1 wlan0 wg0 lower br0",
        );
    }

    #[test]
    fn by_what_the_kernel_says() {
        let files = [
            ("proc/net/bonding/bond0", "Ethernet Channel Bonding Driver\n"),
            ("proc/net/vlan/eth0.100", "eth0.100  VID: 100\n"),
            ("sys/class/net/team/bonding/mode", "802.3ad 4\n"),
            ("sys/class/net/br0/bridge/bridge_id", "8000\n"),
            ("sys/class/net/storage/uevent", "DEVTYPE=vlan\nINTERFACE=storage\n"),
            ("sys/class/net/wlan0/uevent", "DEVTYPE=wlan\nINTERFACE=wlan0\n"),
        ];
        check("eth0 bond0 eth0.100 team br0 storage wlan0", &files, "eth0 wlan0");
    }

    #[test]
    fn when_nothing_remains_everything_but_loopback() {
        check("lo veth0", &[], "veth0");
        check("lo", &[], "");
        check("lo bond0", &[("proc/net/bonding/bond0", "x")], "bond0");
    }

    #[test]
    fn a_damaged_name_leads_nowhere() {
        check("../../vlan . .. a/b", &[("proc/net/vlan/config", "x")], "../../vlan . .. a/b");
    }
}
