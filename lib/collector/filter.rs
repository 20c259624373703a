//! Which devices or interfaces count: decided once for a set of names, again when it changes.

/// The decision of the last reading.
#[derive(Debug, Default)]
pub(super) struct Filter {
    names: Vec<String>,
    included: Vec<bool>,
}

impl Filter {
    /// Whether each of `names` counts, in their order. `decide` is asked about all of them when
    /// they are not those of the reading before: a device came, went, or changed its place.
    pub(super) fn update<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str> + Clone,
        decide: impl FnOnce(&[String]) -> Vec<bool>,
    ) -> &[bool] {
        if !self.names.iter().map(String::as_str).eq(names.clone()) {
            self.names = names.map(str::to_owned).collect();
            self.included = decide(&self.names);
            self.included.resize(self.names.len(), false);
        }
        &self.included
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_again_only_when_the_names_change() {
        let mut filter = Filter::default();
        let mut decisions = 0;
        for names in [&["a", "b"][..], &["a", "b"], &["a"], &["b"], &["b"]] {
            let included = filter.update(names.iter().copied(), |names| {
                decisions += 1;
                names.iter().map(|name| name == "a").collect()
            });
            let expected: Vec<_> = names.iter().map(|name| *name == "a").collect();
            assert_eq!(included, expected);
        }
        assert_eq!(decisions, 3);
    }
}
