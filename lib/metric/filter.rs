//! Which devices count towards a host's totals, by name: what would be counted twice (a partition
//! and its disk, a bridge and its ports) or never leaves the machine is left out.
//!
//! Two rooms need the same answer: the collectors leave these devices out unless they are told
//! otherwise, and analysis leaves them out of the totals whatever was collected.

/// Block devices that sit on top of others, or in memory: loop, ram, zram, device mapper, md RAID;
/// and optical drives. By prefix followed by a number.
const STACKED_DISKS: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "sr"];

/// Whole disks whose partitions are the name and a number: `sda` and `sda1`.
const LETTERED_DISKS: [&str; 4] = ["sd", "hd", "vd", "xvd"];

/// Whole disks that end in a number, so that their partitions are the name, `p` and a number:
/// `nvme0n1` and `nvme0n1p2`.
const NUMBERED_DISKS: [&str; 3] = ["nvme", "mmcblk", "nbd"];

/// Interfaces whose traffic is that of others: containers' ends, bridges, bond masters.
const STACKED_INTERFACES: [&str; 4] = ["veth", "docker", "br-", "virbr"];

/// Masters and VLANs, recognised by prefix and number: `bond0`, `vlan100`.
const NUMBERED_INTERFACES: [&str; 2] = ["bond", "vlan"];

/// Whether a block device of `/proc/diskstats` counts towards the host's total.
#[must_use]
pub fn is_total_disk(name: &str) -> bool {
    let stacked = STACKED_DISKS.iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    !stacked && !is_partition(name)
}

/// Whether a network interface counts towards the host's total.
#[must_use]
pub fn is_total_interface(name: &str) -> bool {
    let stacked = name == "lo"
        || STACKED_INTERFACES.iter().any(|prefix| name.starts_with(prefix))
        || NUMBERED_INTERFACES.iter().any(|prefix| numbered(name, prefix));
    // `eth0.100` is VLAN 100 of eth0; the kernel allows no other use of a dot by default.
    !stacked && !name.contains('.')
}

/// Whether an interface is the loopback: what stays out even where nothing else is left.
#[must_use]
pub fn is_loopback(name: &str) -> bool {
    name == "lo"
}

fn is_partition(name: &str) -> bool {
    let lettered = LETTERED_DISKS.iter().any(|prefix| {
        let Some(rest) = name.strip_prefix(prefix) else { return false };
        let number = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        number.len() < rest.len() && is_number(number)
    });
    let numbered_disk = NUMBERED_DISKS.iter().any(|prefix| name.starts_with(prefix));
    let split = name.rsplit_once('p');
    lettered
        || numbered_disk
            && split.is_some_and(|(disk, number)| {
                disk.ends_with(|c: char| c.is_ascii_digit()) && is_number(number)
            })
}

fn numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_disks_count_and_what_sits_on_or_in_them_does_not() {
        for disk in ["sda", "sdaa", "vda", "xvda", "hdc", "nvme0n1", "nvme10n2", "mmcblk0", "nbd0"]
        {
            assert!(is_total_disk(disk), "{disk}");
        }
        for other in [
            "sda1",
            "sdaa12",
            "vda2",
            "xvda1",
            "nvme0n1p1",
            "mmcblk0p2",
            "loop0",
            "ram15",
            "zram0",
            "dm-3",
            "md127",
            "sr0",
            "nbd0p1",
        ] {
            assert!(!is_total_disk(other), "{other}");
        }
        // Names that only look alike.
        for disk in ["srv", "mdisk", "loopy", "pmem0", "rbd0", "sd"] {
            assert!(is_total_disk(disk), "{disk}");
        }
    }

    #[test]
    fn real_interfaces_count_and_what_carries_their_traffic_again_does_not() {
        for real in ["eth0", "enp3s0", "eno1", "wlan0", "ens5", "wwan0", "ib0", "bonding", "br0"] {
            assert!(is_total_interface(real), "{real}");
        }
        for other in [
            "lo",
            "veth12ab",
            "docker0",
            "br-0123abcd",
            "virbr0",
            "virbr0-nic",
            "bond0",
            "eth0.100",
            "vlan7",
        ] {
            assert!(!is_total_interface(other), "{other}");
        }
        assert!(is_loopback("lo") && !is_loopback("lo0"));
    }
}
