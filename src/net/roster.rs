//! The members of a SO_REUSEPORT group as the kernel counts them.
//!
//! A steering program names members by their number, and the kernel tells
//! nobody which number a socket has. But it counts in a way that can be
//! followed: who begins to listen comes last, and when one closes the last one
//! takes its number. Owes a true count as long as every socket of the group is
//! made and closed here; never touches a socket itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A member, from when it begins to listen until it closes; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Member(u64);

/// The members of one group.
#[derive(Debug, Default)]
pub struct Roster {
    count: Mutex<Count>,
}

/// A count, also on its way to another master.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Count {
    /// In the kernel's order.
    members: Vec<Member>,
    next: u64,
    /// Those of them that only another master has.
    #[serde(skip)]
    foreign: BTreeSet<Member>,
    /// The numbers that the program in force leads to; `None` without one.
    steered: Option<Vec<Range<u32>>>,
    /// Who has left and has not been asked for yet, for another master that
    /// counts on; `None` where there is none.
    #[serde(skip)]
    departed: Option<Vec<Member>>,
}

/// A member that has closed, for another master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed(Member);

/// Who shall get new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomers {
    /// Also those that join from now on, if the wanted are all there are.
    Welcome,
    /// Never those that join from now on.
    Excluded,
}

/// What has to be done for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Keep,
    /// Take the program away.
    Detach,
    /// Attach one that leads to these numbers.
    Attach(Vec<Range<u32>>),
}

impl Roster {
    /// Goes on with a count from elsewhere; nobody in it is ours yet.
    pub(super) fn inherit(mut count: Count) -> Self {
        count.foreign = count.members.iter().copied().collect();
        Self {
            count: Mutex::new(count),
        }
    }

    /// The count as it is, for another master, who wants to hear of
    /// [`Roster::departed`] from now on.
    pub(super) fn pass_on(&self) -> Count {
        let mut count = self.lock();
        count.departed = Some(Vec::new());
        count.clone()
    }

    /// This one is ours from now on.
    pub(super) fn take(&self, member: Member) {
        self.lock().foreign.remove(&member);
    }

    /// This one is not ours any more, and still another master's.
    pub(super) fn give(&self, member: Member) {
        self.lock().foreign.insert(member);
    }

    /// The other master is gone, and its members with it. What program it left
    /// is not known. In which order they closed is not known either, where it
    /// could not tell any more: mostly they were the last ones.
    pub(super) fn forget_foreign(&self) {
        let mut count = self.lock();
        let foreign = std::mem::take(&mut count.foreign);
        for at in (0..count.members.len()).rev() {
            if foreign.contains(&count.members[at]) {
                count.members.swap_remove(at);
            }
        }
        count.steered = Some(Vec::new());
        count.departed = None;
    }

    /// Who has left since the last time.
    pub fn departed(&self) -> Vec<Departed> {
        let mut count = self.lock();
        let departed = count.departed.as_mut().map(std::mem::take);
        departed.into_iter().flatten().map(Departed).collect()
    }

    /// Somebody has left whose socket only another master had.
    pub fn note_departed(&self, departed: Departed) {
        self.leave(departed.0);
    }

    /// Somebody has just begun to listen.
    pub(super) fn join(&self) -> Member {
        let mut count = self.lock();
        let member = Member(count.next);
        count.next += 1;
        count.members.push(member);
        member
    }

    /// To which numbers clients may be led before `member` closes and after, where
    /// that is not so as it is: to all of those now but the last of the whole group,
    /// who takes the number of `member` then. `None`: nothing has to be done, or
    /// there is nobody else.
    pub(super) fn aside(&self, member: Member) -> Option<Vec<Range<u32>>> {
        let count = self.lock();
        let steered = count.steered.as_ref()?;
        let at = |run: &Range<u32>| run.clone().map(|number| count.members.get(number as usize));
        let wanted = steered.iter().flat_map(at).flatten().copied();
        let last = count.members.last().copied();
        let stay = |one: &Member| *one != member && Some(*one) != last;
        let numbers = count.numbers_of(&wanted.filter(stay).collect());
        (!numbers.is_empty() && numbers != *steered).then_some(numbers)
    }

    /// Whether clients are led past `member`.
    pub(super) fn is_passed_by(&self, member: Member) -> bool {
        let count = self.lock();
        let at = count.members.iter().position(|one| *one == member);
        let numbers = count.steered.as_ref().filter(|runs| !runs.is_empty());
        numbers.zip(at).is_some_and(|(runs, at)| {
            let at = at as u32;
            !runs.iter().any(|run| run.contains(&at))
        })
    }

    /// Somebody is about to close.
    pub(super) fn leave(&self, member: Member) {
        let mut count = self.lock();
        if let Some(at) = count.members.iter().position(|one| *one == member) {
            count.members.swap_remove(at);
            count.foreign.remove(&member);
            if let Some(departed) = &mut count.departed {
                departed.push(member);
            }
        }
    }

    /// What leads new clients to `wanted` and past all others. With nobody
    /// wanted everything stays as it is.
    pub(super) fn plan(&self, wanted: &BTreeSet<Member>, newcomers: Newcomers) -> Plan {
        let count = self.lock();
        let numbers = count.numbers_of(wanted);
        let all = 0..count.members.len() as u32;
        let everyone = matches!(numbers.as_slice(), [run] if *run == all);
        if numbers.is_empty() {
            Plan::Keep
        } else if everyone && newcomers == Newcomers::Welcome {
            if count.steered.is_some() {
                Plan::Detach
            } else {
                Plan::Keep
            }
        } else if count.steered.as_ref() == Some(&numbers) {
            Plan::Keep
        } else {
            Plan::Attach(numbers)
        }
    }

    /// The plan was carried out.
    pub(super) fn note(&self, plan: Plan) {
        match plan {
            Plan::Keep => {}
            Plan::Detach => self.lock().steered = None,
            Plan::Attach(numbers) => self.lock().steered = Some(numbers),
        }
    }

    /// A panic elsewhere cannot leave the count half-written.
    fn lock(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// The numbers of `wanted`, neighbours together.
    fn numbers_of(&self, wanted: &BTreeSet<Member>) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for (number, member) in (0u32..).zip(&self.members) {
            if !wanted.contains(member) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.end == number => run.end += 1,
                Some(_) | None => runs.push(number..number + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_takes_the_number_of_one_that_leaves() {
        let roster = Roster::default();
        let members: Vec<Member> = (0..5).map(|_| roster.join()).collect();
        let staying = BTreeSet::from([members[0], members[3], members[4]]);
        let plan = |newcomers| roster.plan(&staying, newcomers);
        assert_eq!(plan(Newcomers::Welcome), Plan::Attach(vec![0..1, 3..5]));
        roster.note(plan(Newcomers::Welcome));
        assert_eq!(plan(Newcomers::Welcome), Plan::Keep);
        roster.leave(members[1]);
        // 4 is number 1 now.
        assert_eq!(plan(Newcomers::Welcome), Plan::Attach(vec![0..2, 3..4]));
        roster.note(plan(Newcomers::Welcome));
        roster.leave(members[2]);
        assert_eq!(plan(Newcomers::Welcome), Plan::Detach);
        assert_eq!(plan(Newcomers::Excluded), Plan::Attach(vec![0..3; 1]));
    }

    #[test]
    fn before_one_leaves_nobody_is_led_to_who_takes_its_number() {
        let roster = Roster::default();
        let members: Vec<Member> = (0..4).map(|_| roster.join()).collect();
        assert_eq!(roster.aside(members[1]), None, "nobody is led");
        let lead = |wanted: &[usize]| {
            let wanted = wanted.iter().map(|one| members[*one]).collect();
            roster.note(roster.plan(&wanted, Newcomers::Welcome));
        };
        lead(&[0, 3]);
        assert!(roster.is_passed_by(members[1]) && !roster.is_passed_by(members[3]));
        assert_eq!(roster.aside(members[1]), Some(vec![0..1; 1]));
        roster.note(Plan::Attach(vec![0..1; 1]));
        assert_eq!(roster.aside(members[1]), None, "it is so already");
        lead(&[3]);
        assert_eq!(roster.aside(members[1]), None, "there is nobody else");
        lead(&[0, 2]);
        assert_eq!(roster.aside(members[1]), None, "their numbers stay");
    }

    #[test]
    fn another_master_counts_on() {
        let old = Roster::default();
        let members: Vec<Member> = (0..4).map(|_| old.join()).collect();
        let new = Roster::inherit(old.pass_on());
        // The new one takes two of them over, and opens one more.
        new.take(members[0]);
        new.take(members[2]);
        let own = new.join();
        let ours = BTreeSet::from([members[0], members[2], own]);
        let plan = new.plan(&ours, Newcomers::Welcome);
        assert_eq!(plan, Plan::Attach(vec![0..1, 2..3, 4..5]));
        // The others close, and the numbers move.
        old.leave(members[1]);
        old.departed()
            .into_iter()
            .for_each(|one| new.note_departed(one));
        let plan = new.plan(&ours, Newcomers::Welcome);
        assert_eq!(plan, Plan::Attach(vec![0..3; 1]));
        // The last one closes without a word.
        new.forget_foreign();
        assert_eq!(new.plan(&ours, Newcomers::Welcome), Plan::Detach);
        assert!(old.departed().is_empty());
    }

    #[test]
    fn nobody_wanted_changes_nothing() {
        let roster = Roster::default();
        roster.join();
        let plan = roster.plan(&BTreeSet::new(), Newcomers::Excluded);
        assert_eq!(plan, Plan::Keep);
    }
}
