//! A fleet of simulated hosts.

use std::time::Duration;

use serde_json::json;

use super::super::support::fleet::{Fleet, Plan};

/// `--server ADDRESS --hosts N --interval-ms N [--prefix NAME]`
pub fn run(arguments: &[String]) -> Result<(), String> {
    let plan = Plan {
        server: super::flag(arguments, "--server").ok_or("--server is missing")?.to_owned(),
        hosts: super::number(arguments, "--hosts")? as usize,
        prefix: super::flag(arguments, "--prefix").unwrap_or("bench-").to_owned(),
        interval: Duration::from_millis(super::number(arguments, "--interval-ms")?),
    };
    let fleet = Fleet::start(&plan);
    super::serve(&json!({}), || {
        json!({
            "sent": fleet.sent(),
            "acknowledged": fleet.acknowledged(),
            "failures": fleet.failures(),
        })
    })
}
