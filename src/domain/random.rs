use std::cell::RefCell;

/// `N` bytes from the operating system's generator (by way of aws-lc).
///
/// # Panics
/// If the generator fails: nothing secret may be made without it.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator works");
    bytes
}

/// 128 bits for the name of something that happens often: unlike any other on any node, and no help in telling another.
/// Not for secrets: those that a thread has in store lie in its memory in the clear.
pub fn random_name() -> [u8; NAME] {
    STORE.with_borrow_mut(Store::next)
}

/// What one thread has drawn ahead: the generator is asked once for many names, since its price is that of being asked.
struct Store {
    bytes: [u8; STORED],
    used: usize,
}

impl Store {
    const EMPTY: Self = Self { bytes: [0; STORED], used: STORED };

    fn next(&mut self) -> [u8; NAME] {
        if self.used == STORED {
            self.bytes = random_bytes();
            self.used = 0;
        }
        let (name, _) = self.bytes[self.used..].split_first_chunk().expect("the store holds whole names");
        self.used += NAME;
        *name
    }
}

thread_local! {
    static STORE: RefCell<Store> = const { RefCell::new(Store::EMPTY) };
}

const NAME: usize = 16;
const STORED: usize = 256 * NAME;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn names_of_all_threads_differ_and_tell_nothing_of_each_other() {
        const EACH: usize = 10_000;
        let draw = || (0..EACH).map(|_| random_name()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(draw)).collect();
        let drawn: Vec<Vec<[u8; NAME]>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(drawn.iter().flatten().collect::<HashSet<_>>().len(), 4 * EACH);
        for names in &drawn {
            // Of 128 bits that have nothing to do with each other half differ. Over 10,000 pairs the share of each one is
            // within 0.03 of that (six standard deviations).
            for bit in 0..8 * NAME {
                let of = |name: &[u8; NAME]| name[bit / 8] >> (bit % 8) & 1;
                let changes = names.windows(2).filter(|pair| of(&pair[0]) != of(&pair[1])).count();
                assert!((EACH * 47 / 100..EACH * 53 / 100).contains(&changes), "bit {bit}: {changes} of {EACH}");
            }
        }
    }
}
