//! Medians, and the lines that are printed.

/// The middle of some figures.
///
/// # Panics
/// When there is none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A quantile (0 to 1) of some figures, by the nearest rank.
///
/// # Panics
/// When there is none.
pub(crate) fn quantile(figures: &[f64], at: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((sorted.len() as f64) * at).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Prints one figure with its median, its span and the goal it stands against.
pub(crate) fn figure(what: &str, unit: &str, figures: &[f64], goal: &str) {
    let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!(
        "{what:<58} {:>10.1} {unit:<8} ({low:.1} to {high:.1}, {} runs)  goal {goal}",
        median(figures),
        figures.len()
    );
}

/// Prints the calibration loop's times.
pub(crate) fn calibration(loops: &[f64]) {
    figure("fixed loop beside it", "ms", loops, "-");
}
