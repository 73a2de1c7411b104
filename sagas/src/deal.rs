//! How slots are dealt among those who are there to drive sagas. Pure: whoever knows the same owners comes to the same deal.
//!
//! Rendezvous hashing with a bound: a slot goes to the owner who ranks highest for it and has room; nobody gets more than his share, rounded
//! up. So all have as many as the others, give or take one, and few slots change hands when somebody comes or goes.
//!
//! Two who know different owners for a moment deal differently: then leases decide, and nothing is driven twice. The ranking is part of
//! what processes of two releases agree on: it must not change.
use eventstore::{SLOTS, Slot};
use uuid::Uuid;

/// Who holds which slots when these are there; `None` where nobody is. `owners` in the order of their ids.
pub(crate) fn deal(owners: &[Uuid]) -> Vec<Option<Uuid>> {
    let most = SLOTS.div_ceil(owners.len().max(1));
    let mut counts = vec![0; owners.len()];
    (0..SLOTS)
        .map(|slot| {
            let with_room = owners.iter().enumerate().filter(|(at, _)| counts[*at] < most);
            let (at, owner) = with_room.max_by_key(|(_, owner)| (rank(**owner, slot as u64), **owner))?;
            counts[at] += 1;
            Some(*owner)
        })
        .collect()
}

/// The slots of one of them.
pub(crate) fn share(owners: &[Uuid], owner: Uuid) -> Vec<Slot> {
    let dealt = deal(owners).into_iter().enumerate();
    let ours = dealt.filter(|(_, to)| *to == Some(owner));
    ours.filter_map(|(slot, _)| u8::try_from(slot).ok().map(Slot)).collect()
}

/// SplitMix64 over both halves of the id and the slot.
fn rank(owner: Uuid, slot: u64) -> u64 {
    let (high, low) = owner.as_u64_pair();
    mix(mix(mix(high) ^ low) ^ slot)
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owners(seeds: &[u64]) -> Vec<Uuid> {
        let mut owners: Vec<Uuid> = seeds.iter().map(|seed| Uuid::from_u64_pair(mix(*seed), *seed)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    #[test]
    fn who_is_alone_gets_all_and_nobody_gets_none() {
        let alone = owners(&[1]);
        assert_eq!(share(&alone, alone[0]).len(), SLOTS);
        assert!(deal(&[]).iter().all(Option::is_none));
    }

    #[test]
    fn the_deal_is_the_same_in_every_release() {
        let three = [1, 2, 3].map(|n| Uuid::from_u64_pair(0, n));
        let first: Vec<usize> =
            deal(&three)[..16].iter().map(|to| three.iter().position(|id| Some(*id) == *to).unwrap()).collect();
        assert_eq!(first, FIRST_OF_THREE, "processes of two releases must deal alike");
    }

    const FIRST_OF_THREE: [usize; 16] = [1, 1, 0, 1, 0, 0, 1, 2, 2, 0, 0, 2, 2, 2, 2, 2];

    proptest! {
        #[test]
        fn all_slots_are_dealt_and_all_get_alike(seeds in prop::collection::vec(any::<u64>(), 1..20)) {
            let owners = owners(&seeds);
            let shares: Vec<usize> = owners.iter().map(|owner| share(&owners, *owner).len()).collect();
            prop_assert_eq!(shares.iter().sum::<usize>(), SLOTS);
            let most = SLOTS.div_ceil(owners.len());
            prop_assert!(shares.iter().all(|count| *count <= most), "{:?}", shares);
        }

        #[test]
        fn few_slots_change_hands_when_one_goes(seeds in prop::collection::vec(any::<u64>(), 3..12)) {
            let before = owners(&seeds);
            prop_assume!(before.len() > 2);
            let after: Vec<Uuid> = before[1..].to_vec();
            let (old, new) = (deal(&before), deal(&after));
            let moved = old.iter().zip(&new).filter(|(old, new)| old != new && **old != Some(before[0])).count();
            // Those of the one who went must move; of the others' only what the bound pushes on.
            prop_assert!(moved <= SLOTS / 4, "{} of {} slots moved needlessly", moved, SLOTS);
        }
    }
}
