//! A thousand hosts, each with a real stream, before one page. Served beyond loopback, so that the
//! page says so.

use std::time::Duration;

use serde_json::json;

use crate::script::Script;
use crate::support::fleet::{Fleet, Plan};
use crate::support::http::Events;
use crate::support::program::Program;
use crate::support::{Scratch, wait};

const HOSTS: usize = 1_000;

#[test]
fn a_thousand_hosts_reach_every_row() {
    let scratch = Scratch::new("thousand");
    let data = scratch.join("data").to_string_lossy().into_owned();
    let flags = ["--listen", "0.0.0.0:0", "--insecure", "--grpc-listen", "127.0.0.1:0"];
    let own = ["--host", "monitor-1", "--data", &data];
    let mut monitor = Program::start("monitor", &scratch.0, &[&flags[..], &own[..]].concat());
    let mut page = monitor.address("page on ");
    page.set_ip([127, 0, 0, 1].into());
    let server = monitor.address("listening on ").to_string();
    let plan =
        Plan { server, hosts: HOSTS, prefix: "node-".to_owned(), interval: Duration::from_secs(1) };
    let fleet = Fleet::start(&plan);
    let known = || {
        let metrics = crate::support::http::json(page, "/api/hosts")?;
        (metrics["hosts"].as_array()?.len() == HOSTS + 1).then_some(())
    };
    wait::until("all hosts are known", Duration::from_secs(30), known);

    let settings = json!({
        "page": format!("http://{page}"), "hosts": HOSTS + 1, "seconds": 30,
    });
    Script::start("thousand", &scratch.0, settings).finish(Duration::from_secs(150));

    assert_eq!(fleet.failures(), 0, "streams that failed or frames that no stream took");
    let (_, snapshot) = Events::open(page, "/api/live?summary=1").next().unwrap();
    assert_eq!(snapshot["counts"], json!({}), "something was dropped or refused");
    assert_eq!(snapshot["ledger"]["missing"], 0, "{}", snapshot["ledger"]);
    drop(fleet);
    assert!(!monitor.stop().contains("panic"));
}
