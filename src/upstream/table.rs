use std::{iter::repeat_n, sync::Arc};

use super::server::Endpoint;

/// The endpoints of a group at one moment, at least one.
pub(super) struct Table {
    pub(super) endpoints: Box<[Arc<Endpoint>]>,
    /// Whose turn it is, over and over.
    pub(super) schedule: Box<[u16]>,
}

impl Table {
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let weights: Vec<u16> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { endpoints: endpoints.into(), schedule: schedule(&weights) }
    }
}

/// Each place as often as its weight says, as far from its last turn as can be (smooth weighted round robin, as nginx
/// does it): at each turn everybody gains its weight, and who has most pays the sum.
fn schedule(weights: &[u16]) -> Box<[u16]> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / common)).collect();
    let total: i64 = weights.iter().sum();
    let mut saved: Vec<i64> = repeat_n(0, weights.len()).collect();
    let turn = |_| {
        saved.iter_mut().zip(&weights).for_each(|(saved, weight)| *saved += weight);
        // Of equals the first one, as the file names them.
        let (place, _) =
            saved.iter().enumerate().rev().max_by_key(|(_, saved)| **saved).expect("at least one endpoint");
        saved[place] -= total;
        u16::try_from(place).expect("fewer endpoints than 65536")
    };
    (0..total).map(turn).collect()
}

const fn greatest_common_divisor(mut one: u16, mut two: u16) -> u16 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights_and_are_well_mixed() {
        let cases: [(&[u16], &[u16]); 6] = [
            (&[1], &[0]),
            (&[100], &[0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[20, 20], &[0, 1]),
            (&[3, 1], &[0, 0, 1, 0]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
        ];
        for (weights, turns) in cases {
            assert_eq!(&*schedule(weights), turns, "{weights:?}");
        }
    }

    #[test]
    fn every_endpoint_has_as_many_turns_as_its_weight() {
        let weights = [1, 7, 100, 33, 2];
        let schedule = schedule(&weights);
        for (place, weight) in weights.iter().enumerate() {
            assert_eq!(schedule.iter().filter(|turn| usize::from(**turn) == place).count(), usize::from(*weight));
        }
    }
}
