//! The engine over a past in memory, against a plain model that looks at every sample.

mod exact;
mod fold;
mod hosts;
mod machine;
mod names;
mod native;
mod world;

use std::sync::Arc;

use super::past::Past;
use super::{QueryCounts, query};
use crate::analysis::view::{HostAnswer, QueryError, QueryForm, QuerySpec};

use world::World;

/// Where the tests' time begins, Unix ms; a multiple of an hour.
const BASE_MS: u64 = 1_700_002_800_000;

fn spec(metrics: &[&str], from_ms: u64, to_ms: u64, points: usize) -> QuerySpec {
    QuerySpec {
        hosts: Vec::new(),
        metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
        labels: Vec::new(),
        from_ms,
        to_ms,
        points,
        form: QueryForm::Rate,
        aggregate: None,
    }
}

fn ask(world: &Arc<World>, spec: &QuerySpec) -> Result<Vec<HostAnswer>, QueryError> {
    let past: Arc<dyn Past> = world.clone();
    query(past, Arc::default(), Arc::new(QueryCounts::new()), spec)?.collect()
}
