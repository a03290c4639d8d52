use std::net::IpAddr;

/// Whom something is waited for.
pub(super) struct Asker {
    /// The network that the request came from.
    pub(super) network: IpAddr,
    /// The clients that it says it comes from, one for each reading of its credentials.
    pub(super) ids: Vec<String>,
}

/// Why there is no place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The address, or the client, has its share of the places.
    OwnShare,
    /// Too many wait, and nobody has more than the one who comes.
    Full,
}

/// A bounded queue in which nobody waits for all that another one has brought along (start-time fair queueing).
///
/// Each one that comes is given a round: the one that is being served, or the one after the last that its own address or
/// client waits for. Rounds are served in turn. So the first of somebody who comes while another's hundred wait is served
/// next; and when the queue is full, it takes the place of the one that is furthest away.
pub(super) struct FairQueue<T> {
    /// In order of arrival.
    waiting: Vec<Waiting<T>>,
    /// The round of the one that was served last.
    round: u64,
    most: usize,
    most_of_one: usize,
}

struct Waiting<T> {
    asker: Asker,
    round: u64,
    item: T,
}

impl<T> FairQueue<T> {
    /// A queue with `most` places, of which one address or client may take `most_of_one`.
    pub(super) const fn new(most: usize, most_of_one: usize) -> Self {
        Self { waiting: Vec::new(), round: 0, most, most_of_one }
    }

    /// Gives `item` a place. Whoever loses its own to it is dropped.
    pub(super) fn push(&mut self, asker: Asker, item: T) -> Result<(), NoPlace> {
        let of_network = self.waiting.iter().filter(|other| other.asker.network == asker.network).count();
        let of_client = asker.ids.iter().map(|id| self.waiting.iter().filter(|other| other.names(id)).count()).max();
        if of_network.max(of_client.unwrap_or(0)) >= self.most_of_one {
            return Err(NoPlace::OwnShare);
        }
        let own = self.waiting.iter().filter(|other| other.shares_with(&asker)).map(|other| other.round).max();
        let round = own.map_or(self.round, |last| last + 1);
        if self.waiting.len() >= self.most {
            self.give_up_last_behind(round)?;
        }
        self.waiting.push(Waiting { asker, round, item });
        Ok(())
    }

    /// Gives free the places of those that `stays` does not say of that they are still waited for.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.waiting.retain(|waiting| stays(&waiting.item));
    }

    /// Takes the next one: the first to come of the earliest round.
    pub(super) fn pop(&mut self) -> Option<T> {
        let next = (0..self.waiting.len()).min_by_key(|place| self.waiting[*place].round)?;
        let Waiting { round, item, asker: _ } = self.waiting.remove(next);
        self.round = round;
        Some(item)
    }

    fn give_up_last_behind(&mut self, round: u64) -> Result<(), NoPlace> {
        let last = (0..self.waiting.len()).max_by_key(|place| self.waiting[*place].round);
        let last = last.filter(|place| self.waiting[*place].round > round).ok_or(NoPlace::Full)?;
        self.waiting.remove(last);
        Ok(())
    }
}

impl<T> Waiting<T> {
    fn names(&self, id: &str) -> bool {
        self.asker.ids.iter().any(|own| own == id)
    }

    fn shares_with(&self, asker: &Asker) -> bool {
        self.asker.network == asker.network || asker.ids.iter().any(|id| self.names(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(host: u8, ids: &[&str]) -> Asker {
        Asker { network: [192, 0, 2, host].into(), ids: ids.iter().map(ToString::to_string).collect() }
    }

    /// Puts `count` of one address and client into the queue and tells how many found a place.
    fn push(queue: &mut FairQueue<(u8, usize)>, host: u8, id: &str, count: usize) -> usize {
        (0..count).filter(|number| queue.push(asker(host, &[id]), (host, *number)).is_ok()).count()
    }

    fn order(queue: &mut FairQueue<(u8, usize)>) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop()).map(|(host, _)| host).collect()
    }

    #[test]
    fn one_alone_is_served_in_the_order_of_arrival() {
        let mut queue = FairQueue::new(10, 10);
        assert_eq!(push(&mut queue, 1, "a", 5), 5);
        let numbers: Vec<usize> = std::iter::from_fn(|| queue.pop()).map(|(_, number)| number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn whoever_comes_after_a_burst_of_another_is_served_next() {
        for (host, id, expected) in [
            (2, "b", &[1, 2, 1, 1, 1][..]),
            // What it shares with the burst is what it waits for.
            (1, "b", &[1, 1, 1, 1, 1]),
            (2, "a", &[1, 1, 1, 1, 2]),
        ] {
            let mut queue = FairQueue::new(10, 10);
            push(&mut queue, 1, "a", 4);
            push(&mut queue, host, id, 1);
            assert_eq!(order(&mut queue), expected, "{host} {id}");
        }
    }

    #[test]
    fn bursts_of_several_are_served_in_turn() {
        let mut queue = FairQueue::new(20, 10);
        push(&mut queue, 1, "a", 3);
        push(&mut queue, 2, "b", 2);
        assert_eq!(queue.pop(), Some((1, 0)));
        push(&mut queue, 3, "c", 2);
        assert_eq!(order(&mut queue), [2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn an_address_and_a_client_have_their_share() {
        let mut queue = FairQueue::new(10, 3);
        assert_eq!(push(&mut queue, 1, "a", 5), 3);
        assert_eq!(queue.push(asker(1, &["b"]), (1, 0)), Err(NoPlace::OwnShare));
        assert_eq!(queue.push(asker(2, &["x", "a"]), (2, 0)), Err(NoPlace::OwnShare));
        assert_eq!(queue.push(asker(2, &[]), (2, 0)), Ok(()));
        queue.pop();
        assert_eq!(push(&mut queue, 1, "b", 5), 1);
    }

    #[test]
    fn in_a_full_queue_a_newcomer_takes_the_place_of_the_last() {
        let mut queue = FairQueue::new(6, 3);
        push(&mut queue, 1, "a", 3);
        push(&mut queue, 2, "b", 3);
        assert_eq!(push(&mut queue, 3, "c", 3), 2, "the third would be as far away as the last");
        assert_eq!(queue.push(asker(4, &["d"]), (4, 0)), Ok(()));
        assert_eq!(order(&mut queue), [1, 2, 3, 4, 1, 2]);
    }

    #[test]
    fn strangers_beyond_number_fill_the_queue_and_no_more() {
        let mut queue = FairQueue::new(8, 2);
        let found = (0..100).filter(|host| push(&mut queue, *host, &format!("c{host}"), 1) == 1).count();
        assert_eq!(found, 8);
        assert_eq!(queue.push(asker(200, &["x"]), (200, 0)), Err(NoPlace::Full));
    }
}
