//! Which block devices count as disks, by name and by `/sys/block`.
//!
//! A byte written to a file goes through a partition, a logical volume or an array to a disk;
//! counting all of them would count it again and again. So the disks at the bottom count, and
//! what lies on top of them, or in memory, is filtered.

use std::path::Path;

/// Names of a word and a number that are filtered: on top of other devices (`loop`, `dm-`, `md`),
/// in memory (`ram`, `zram`), or optical and floppy drives.
const FILTERED: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];

/// Of these the ones in memory and on files: not even the last resort.
const NEVER: [&str; 3] = ["loop", "ram", "zram"];

/// What a device is to a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Disk,
    /// Counts when there is no disk at all, as in a machine that shows only its volumes.
    LastResort,
    Never,
}

/// Which of the devices of one reading count; `block` is the host's `/sys/block`.
///
/// When none is a disk, everything counts but loop devices, memory and partitions.
pub(super) fn decide(names: &[String], block: &Path) -> Vec<bool> {
    let classes: Vec<_> = names.iter().map(|name| class(name, names, block)).collect();
    let wanted = if classes.contains(&Class::Disk) { Class::Disk } else { Class::LastResort };
    classes.into_iter().map(|class| class == wanted).collect()
}

fn class(name: &str, names: &[String], block: &Path) -> Class {
    let is_any = |words: &[&str]| words.iter().any(|word| is_numbered(name, word));
    if is_any(&NEVER) || is_part(name, names, block) {
        Class::Never
    } else if is_any(&FILTERED) || is_multipath_leg(name) {
        Class::LastResort
    } else {
        Class::Disk
    }
}

/// `md127`, `md_d0`, `dm-3`: the word and then a number.
fn is_numbered(name: &str, word: &str) -> bool {
    let Some(rest) = name.strip_prefix(word) else { return false };
    let rest = rest.strip_prefix("_d").unwrap_or(rest);
    // A partition of such a device (`loop0p1`) is as filtered as the device.
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    digits > 0 && (digits == rest.len() || partition_number(&rest[digits..]))
}

/// One path of a multipath NVMe device, `nvme0c1n2`, whose requests `nvme0n2` has counted.
fn is_multipath_leg(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("nvme") else { return false };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.starts_with('c') && rest.contains('n')
}

/// Whether it is a part of another device: a partition, or a boot area of an eMMC.
///
/// `/sys` knows. Without it a name is a partition's only if its disk is in the same list: EC2
/// and containers show an `xvda1` that has no `xvda` and is a disk.
fn is_part(name: &str, names: &[String], block: &Path) -> bool {
    let Some(parent) = parent_of(name) else { return false };
    // `cciss/c0d0` is `cciss!c0d0` there.
    let in_sys = |name: &str| name.replace('/', "!");
    if block.join(in_sys(parent)).join(in_sys(name)).join("partition").exists() {
        return true;
    }
    let is_area = name[parent.len()..].starts_with(|c: char| c.is_ascii_alphabetic() && c != 'p');
    if !is_area && block.join(in_sys(name)).exists() {
        return false;
    }
    names.iter().any(|other| other == parent)
}

/// The disk that a name would be a part of: `sda` of `sda1`, `nvme0n1` of `nvme0n1p2`, `mmcblk0`
/// of `mmcblk0p1` and of `mmcblk0boot0`. `None` for a name that is no part by form.
fn parent_of(name: &str) -> Option<&str> {
    let digits_from = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let stem = &name[..digits_from];
    if let Some(card) = name.strip_prefix("mmcblk") {
        let number = card.find(|c: char| !c.is_ascii_digit())?;
        return Some(&name[.."mmcblk".len() + number]);
    }
    if digits_from == name.len() {
        return None;
    }
    let ends_in_digit = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
    match stem.strip_suffix('p') {
        // Disks whose own name ends in a digit have a `p` before the partition's number.
        Some(disk) if ends_in_digit(disk) => Some(disk),
        _ => Some(stem).filter(|stem| is_lettered(stem)),
    }
}

/// `sda`, `hdb`, `vdaa`, `xvdc`: disks that are counted in letters.
fn is_lettered(name: &str) -> bool {
    let letters = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase());
    ["sd", "hd", "vd", "xvd", "ub", "dasd"]
        .iter()
        .any(|word| name.strip_prefix(word).is_some_and(letters))
}

/// `p3`.
fn partition_number(text: &str) -> bool {
    let Some(number) = text.strip_prefix('p') else { return false };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::Tree;

    /// What counts of these devices when `/sys/block` holds these directories.
    #[track_caller]
    fn check(names: &str, sys: &[&str], expected: &str) {
        let line = std::panic::Location::caller().line();
        let tree = Tree::new(&format!("disk-name-{line}"));
        for dir in sys {
            tree.make_dir(&format!("sys/block/{dir}"));
        }
        let names: Vec<_> = names.split_whitespace().map(str::to_owned).collect();
        let included = decide(&names, &tree.path("sys/block"));
        let kept: Vec<_> =
            names.iter().zip(included).filter(|(_, kept)| *kept).map(|(name, _)| name).collect();
        assert_eq!(kept, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn names_alone() {
        check(
            "sda sda1 sda12 sdaa sdaa1 hda hda1 vda vda1 xvda xvda1 dasda dasda1",
            &[],
            "sda sdaa hda vda xvda dasda",
        );
        check("nvme0n1 nvme0n1p1 nvme10n12 nvme10n12p128 nvme0c0n1", &[], "nvme0n1 nvme10n12");
        check("mmcblk0 mmcblk0p1 mmcblk0boot0 mmcblk0boot1 mmcblk0rpmb", &[], "mmcblk0");
        check(
            "nbd0 nbd0p1 nbd15 rbd0 rbd0p1 pmem0 drbd1 bcache0",
            &[],
            "nbd0 nbd15 rbd0 pmem0 drbd1 bcache0",
        );
        check("cciss/c0d0 cciss/c0d0p1", &[], "cciss/c0d0");
        check("sda loop0 loop7p1 ram0 zram0 dm-0 md127 md127p2 md_d0 sr0 fd0", &[], "sda");
        check("sda mdisk dm-x looped srv", &[], "sda mdisk dm-x looped srv");
    }

    #[test]
    fn a_partition_without_its_disk_is_a_disk() {
        check("xvda1 xvdb", &[], "xvda1 xvdb");
        check("xvda1 loop0", &["xvda1"], "xvda1");
        check("vda1", &["vda/vda1/partition"], "");
    }

    #[test]
    fn sys_knows_better_than_the_name() {
        check("sda sda1", &["sda/sda1/partition"], "sda");
        check("sda sda1", &["sda", "sda1"], "sda sda1");
        check("cciss/c0d0 cciss/c0d0p1", &["cciss!c0d0/cciss!c0d0p1/partition"], "cciss/c0d0");
        check("mmcblk0 mmcblk0boot0", &["mmcblk0", "mmcblk0boot0"], "mmcblk0");
    }

    #[test]
    fn when_no_disk_remains_volumes_count() {
        check("loop0 ram0 zram0 dm-0 dm-1 md0", &[], "dm-0 dm-1 md0");
        check("loop0 ram0", &[], "");
        check("", &[], "");
        check("../../etc .. 1 p1", &[], "../../etc .. 1 p1");
    }
}
