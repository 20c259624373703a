//! The past of a host in the browser: what the charts draw, against a plain model of it.

use std::time::Duration;

use serde_json::json;

use crate::script::Script;
use crate::support::Scratch;

#[test]
fn pictures_are_what_a_plain_model_says() {
    let scratch = Scratch::new("picture");
    let report = Script::start("picture", &scratch.0, json!({})).finish(Duration::from_secs(120));
    eprintln!("{report}");
}
