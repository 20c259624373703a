//! Which devices count towards a host's totals, by name: what would be counted twice (a partition
//! and its disk, a bridge and its ports) or never leaves the machine is left out.
//!
//! A client asks its kernel too and by default does not even sample the others; this is for the
//! reader of samples, who has nothing but names, and of which a client may have been told to
//! include everything. Both functions look at all names of a host together, because what counts
//! depends on what else is there.

/// Block devices on top of others, or drives for removable discs: a word and a number, and
/// whatever follows (`md0p1`).
const STACKED_DISKS: [&str; 5] = ["dm-", "md", "md_d", "sr", "fd"];

/// Block devices in memory and on files: not even where nothing else is left.
const MEMORY_DISKS: [&str; 3] = ["loop", "ram", "zram"];

/// Beginnings of interfaces whose packets another one counts: containers' ends and bridges.
const STACKED_INTERFACES: [&str; 4] = ["veth", "docker", "br-", "virbr"];

/// Bond masters and VLANs that are a word and a number; `eth0.100` is a VLAN too.
const NUMBERED_INTERFACES: [&str; 2] = ["bond", "vlan"];

/// The loopback interface; its bytes go nowhere.
const LOOPBACK: &str = "lo";

/// Which of a host's block devices count. Where no disk remains, volumes and arrays do.
#[must_use]
pub fn total_disks(names: &[String]) -> Vec<bool> {
    let begins = |name: &str, words: &[&str]| {
        let number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        words.iter().any(|word| name.strip_prefix(word).is_some_and(number))
    };
    let never = |name: &str| begins(name, &MEMORY_DISKS) || is_part(name, names);
    let disk = |name: &String| !never(name) && !begins(name, &STACKED_DISKS);
    if names.iter().any(disk) {
        return names.iter().map(disk).collect();
    }
    names.iter().map(|name| !never(name)).collect()
}

/// Which of a host's interfaces count. Where none would, everything but the loopback does: in a
/// container `eth0` may be all there is, whatever it is made of.
#[must_use]
pub fn total_interfaces(names: &[String]) -> Vec<bool> {
    let numbered = |name: &str| {
        let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        NUMBERED_INTERFACES.iter().any(|word| name.strip_prefix(word).is_some_and(number))
    };
    let real = |name: &String| {
        let stacked = STACKED_INTERFACES.iter().any(|start| name.starts_with(start));
        !stacked && !numbered(name) && !name.contains('.') && name != LOOPBACK
    };
    if names.iter().any(real) {
        return names.iter().map(real).collect();
    }
    names.iter().map(|name| name != LOOPBACK).collect()
}

/// Whether it is a part of another device of the same host. A name like a partition's without its
/// disk is a disk: EC2 and containers show an `xvda1` that has no `xvda`.
fn is_part(name: &str, names: &[String]) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        // The boot areas of an eMMC.
        let areas = ["boot", "rpmb"];
        return areas.iter().any(|area| is_area(name, area, names));
    }
    let is_there = |disk: &str| names.iter().any(|other| other == disk);
    let digit = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
    let lettered = ["sd", "hd", "vd", "xvd", "ub", "dasd"].iter().any(|word| {
        let letters = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase());
        stem.strip_prefix(word).is_some_and(letters)
    });
    // A disk whose own name ends in a digit has a `p` before the partition's number.
    let numbered = stem.strip_suffix('p').filter(|disk| digit(disk));
    lettered && is_there(stem) || numbered.is_some_and(is_there) || is_area(name, "boot", names)
}

fn is_area(name: &str, area: &str, names: &[String]) -> bool {
    let card = name.split_once(area).map(|(card, _)| card);
    card.is_some_and(|card| card.starts_with("mmcblk") && names.iter().any(|other| other == card))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(decide: fn(&[String]) -> Vec<bool>, names: &str, expected: &str) {
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let counts = decide(&names);
        let kept = names.iter().zip(counts).filter(|(_, counts)| *counts);
        let kept: Vec<&str> = kept.map(|(name, _)| name.as_str()).collect();
        assert_eq!(kept.join(" "), expected);
    }

    #[test]
    fn disks_count_and_what_sits_on_or_in_them_does_not() {
        check(total_disks, "sda sda1 sda12 sdaa sdaa1 vda vda1 xvda xvda2", "sda sdaa vda xvda");
        check(
            total_disks,
            "nvme0n1 nvme0n1p1 nvme10n2 mmcblk0 mmcblk0p1",
            "nvme0n1 nvme10n2 mmcblk0",
        );
        check(total_disks, "mmcblk0 mmcblk0boot0 mmcblk0rpmb nbd0 nbd0p1", "mmcblk0 nbd0");
        check(total_disks, "sda loop0 ram15 zram0 dm-3 md127 md0p1 sr0 fd0", "sda");
        check(total_disks, "srv mdisk loopy pmem0 rbd0", "srv mdisk loopy pmem0 rbd0");
        check(total_disks, "xvda1 xvdb", "xvda1 xvdb");
    }

    #[test]
    fn where_no_disk_remains_volumes_count() {
        check(total_disks, "loop0 ram0 dm-0 dm-1 md0", "dm-0 dm-1 md0");
        check(total_disks, "loop0", "");
    }

    #[test]
    fn interfaces_count_where_packets_leave_the_machine() {
        check(
            total_interfaces,
            "lo eth0 enp3s0 wlan0 veth12 docker0 br-0a virbr0-nic bond0 eth0.100 vlan7 br0",
            "eth0 enp3s0 wlan0 br0",
        );
        check(total_interfaces, "lo veth0 bond0", "veth0 bond0");
        check(total_interfaces, "lo", "");
    }
}
