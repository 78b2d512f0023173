//! Quantiles by nearest rank.

/// Figures in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantiles(Vec<f64>);

impl FromIterator<f64> for Quantiles {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

impl Quantiles {
    /// The value below which `share` of all lie; not a number where there are none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let rank = (self.0.len().saturating_sub(1) as f64 * share).round();
        self.0
            .iter()
            .zip(0u32..)
            .find(|(_, place)| f64::from(*place) >= rank)
            .map_or(f64::NAN, |(value, _)| *value)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// As [`Quantiles::at`], where one is enough.
pub(crate) fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    Quantiles::from_iter(values).at(share)
}
