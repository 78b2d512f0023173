//! Figures of rounds: a number of each round, of which some are ratios or differences.

/// Returns the median; not a number where there are no figures.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    percentile(figures, 50)
}

/// Returns the largest figure; not a number where there are none.
pub(crate) fn most(figures: impl IntoIterator<Item = f64>) -> f64 {
    percentile(figures, 100)
}

/// Returns a percentile by nearest rank; not a number where there are no figures.
pub(crate) fn percentile(figures: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len().saturating_sub(1) * percent + 50) / 100;
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}
