//! Figures: ranks of samples, medians of rounds, the verdict on a bound.

/// The sample below which `part` (0 to 1) of all lie; not a number when there is none.
pub(crate) fn rank(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_precision_loss, reason = "samples are counted in thousands")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to last")]
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    rank(samples, 0.5)
}

/// The least and the most of some rounds, as text.
pub(crate) fn spread(samples: &[f64], digits: usize) -> String {
    format!("{:.digits$} to {:.digits$}", rank(samples, 0.0), rank(samples, 1.0))
}

/// What was promised and what was found.
#[derive(Default)]
pub(crate) struct Verdicts(Vec<(bool, String)>);

impl Verdicts {
    /// Notes whether a promise is kept.
    pub(crate) fn note(&mut self, kept: bool, what: impl Into<String>) {
        self.0.push((kept, what.into()));
    }

    /// As lines, the broken ones marked.
    pub(crate) fn lines(&self) -> Vec<String> {
        let word = |kept| if kept { "kept  " } else { "MISSED" };
        self.0.iter().map(|(kept, what)| format!("{} {what}", word(*kept))).collect()
    }

    /// Whether all are kept.
    pub(crate) fn all_kept(&self) -> bool {
        self.0.iter().all(|(kept, _)| *kept)
    }
}
