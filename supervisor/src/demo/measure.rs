//! Percentiles of measured times.
//!
//! Owns: the one definition of p99 that the demo uses (nearest rank). Never: interpolates, or names a percentile of
//! nothing.

use serde::Serialize;

/// What a set of lateness samples amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lateness {
    /// How many were measured.
    pub samples: usize,
    /// Half were at most so late, in microseconds.
    pub p50_micros: u64,
    /// 99 of 100 were at most so late, in microseconds.
    pub p99_micros: u64,
    /// None was later, in microseconds.
    pub max_micros: u64,
}

/// The smallest sample that at least `percent` of all do not exceed (nearest rank); `sorted` ascends and is not empty.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

/// Summarises samples, in microseconds; `None` of none.
pub fn lateness(mut samples: Vec<u64>) -> Option<Lateness> {
    samples.sort_unstable();
    let max_micros = *samples.last()?;
    Some(Lateness {
        samples: samples.len(),
        p50_micros: percentile(&samples, 50),
        p99_micros: percentile(&samples, 99),
        max_micros,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let summary = lateness((1..=1000).rev().collect()).unwrap();
        assert_eq!(summary, Lateness { samples: 1000, p50_micros: 500, p99_micros: 990, max_micros: 1000 });
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let summary = lateness(vec![7]).unwrap();
        assert_eq!((summary.p50_micros, summary.p99_micros, summary.max_micros), (7, 7, 7));
    }

    #[test]
    fn one_outlier_in_a_hundred_moves_the_maximum_but_not_the_p99() {
        let mut samples = vec![10; 99];
        samples.push(9_999);
        let summary = lateness(samples).unwrap();
        assert_eq!((summary.p99_micros, summary.max_micros), (10, 9_999));
    }

    #[test]
    fn nothing_measured_has_no_percentile() {
        assert_eq!(lateness(Vec::new()), None);
    }
}
