//! The disk takes no more: live goes on, history says that it is behind, and once there is room
//! again everything is there.

use std::time::Duration;

use serde_json::json;

use super::deployment::{Deployment, SOON, samples};
use crate::support::fleet::{Fleet, Plan};
use crate::support::program::Program;
use crate::support::wait;

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let mut system = Deployment::start("full", &[]);
    let kafka = format!("127.0.0.1:{}", system.broker.port());
    let data = system.scratch.join("small");
    let text = data.to_string_lossy().into_owned();
    let flags = ["--listen", "127.0.0.1:0", "--kafka", &kafka, "--data", &text];
    let flags = [&flags[..], &["--write-after", "500ms"]].concat();
    system.analysis = Program::start_under_limits("monitor-analysis", &system.scratch.0, &flags);
    system.page = system.analysis.address("page on ");
    let fleet = Fleet::start(&Plan {
        server: system.grpc.to_string(),
        hosts: 50,
        prefix: "host".to_owned(),
        interval: Duration::from_millis(200),
    });
    let state = |system: &Deployment| system.json("/api/history").map(|is| is["state"].clone());
    wait::until("something is written", SOON, || {
        (system.json("/api/ledger")?["fleet"]["stored"].as_u64()? > 0).then_some(())
    });

    let file = data.join("history/history.redb");
    system.analysis.limit_files(Some(std::fs::metadata(&file).unwrap().len()));
    let said = wait::until("history says that it is behind", 2 * SOON, || {
        state(&system).filter(|state| *state != json!("ok"))
    });
    assert_eq!(said, "behind", "{}", system.analysis.log());
    let before = fleet.sent();
    wait::until("live goes on", SOON, || {
        let metrics = system.json("/api/metrics?host=host0007")?;
        let newest = samples(&metrics, "host0007", "memory").last()?["time_ms"].as_u64()?;
        let is_fresh = crate::support::fleet::now_ms().saturating_sub(newest) < 5_000;
        (is_fresh && fleet.sent() > before + 2_000).then_some(())
    });
    assert_eq!(state(&system), Some(json!("behind")));

    // It ends and begins again without room: what is on disk is as it was.
    let log = std::mem::replace(
        &mut system.analysis,
        Program::start("monitor-client", &system.scratch.0, &["--once"]),
    );
    log.kill();
    system.analysis = Program::start_under_limits("monitor-analysis", &system.scratch.0, &flags);
    system.analysis.limit_files(Some(std::fs::metadata(&file).unwrap().len()));
    system.page = system.analysis.address("page on ");
    wait::until("live again", SOON, || {
        let metrics = system.json("/api/metrics?host=host0007")?;
        (!samples(&metrics, "host0007", "memory").is_empty()).then_some(())
    });

    system.analysis.limit_files(None);
    let (sent, _) = fleet.finish(2 * SOON);
    let ledger = wait::until("everything is written", 4 * SOON, || {
        let ledger = system.json("/api/ledger")?["fleet"].clone();
        (state(&system)? == "ok" && ledger["stored"] == sent).then_some(ledger)
    });
    assert_eq!((&ledger["missing"], &ledger["dropped"]), (&json!(0), &json!(0)), "{ledger}");
    let log = system.analysis.log();
    assert!(!log.contains("panic") && !log.contains("set aside"), "{log}");
    eprintln!("{sent} frames through a full disk: 0 missing");
}
