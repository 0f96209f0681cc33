//! The logs of builds that are looked at. Which ones is decided anew now and then; a log is kept while it is wanted, and only
//! its end where only that is shown.

use std::collections::BTreeMap;

use farm_model::{BuildId, Recorded};

use super::effect::Effect;
use crate::state::{Build, Log};

/// Bytes that are kept of a log whose end alone is shown.
const TAIL: usize = 16 << 10;

/// How much of a log is wanted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Extent {
    /// Its last lines.
    Tail,
    /// All that can be kept.
    Whole,
}

/// The logs that are followed.
#[derive(Clone, Debug, Default)]
pub struct Follows {
    wanted: BTreeMap<BuildId, Extent>,
    logs: BTreeMap<BuildId, Log>,
    builds: BTreeMap<BuildId, Build>,
}

impl Follows {
    /// The logs.
    pub fn logs(&self) -> &BTreeMap<BuildId, Log> {
        &self.logs
    }

    /// The builds, as their logs tell them.
    pub fn builds(&self) -> &BTreeMap<BuildId, Build> {
        &self.builds
    }

    /// Takes the next event of a build; whether anybody wants it.
    pub fn apply(&mut self, id: BuildId, recorded: &Recorded) -> bool {
        if let Some(log) = self.logs.get_mut(&id) {
            log.apply(recorded);
        }
        let build = self.builds.get_mut(&id);
        build.map(|build| build.apply(recorded)).is_some()
    }

    /// These are wanted from now on, and no others.
    pub fn want(&mut self, wanted: BTreeMap<BuildId, Extent>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for id in self.wanted.keys().filter(|id| !wanted.contains_key(id)) {
            effects.push(Effect::Unfollow(*id));
            self.logs.remove(id);
            self.builds.remove(id);
        }
        for (id, extent) in &wanted {
            match self.wanted.get(id) {
                // What is kept of it suffices.
                Some(known) if known >= extent => continue,
                Some(_) => effects.push(Effect::Unfollow(*id)),
                None => {}
            }
            effects.push(self.begin(*id, *extent));
        }
        // One that was wanted whole stays so for as long as it is wanted at all.
        let known = std::mem::take(&mut self.wanted);
        self.wanted = wanted;
        for (id, extent) in &mut self.wanted {
            *extent = known.get(id).copied().map_or(*extent, |known| known.max(*extent));
        }
        effects
    }

    /// The connection was made anew: what is told comes from the start again.
    pub fn again(&mut self) -> Vec<Effect> {
        let wanted = self.wanted.clone();
        let open =
            wanted.into_iter().filter(|(id, _)| self.builds.get(id).is_none_or(|build| !build.is_over()));
        let open: Vec<_> = open.collect();
        open.into_iter().flat_map(|(id, extent)| [Effect::Unfollow(id), self.begin(id, extent)]).collect()
    }

    fn begin(&mut self, id: BuildId, extent: Extent) -> Effect {
        let log = match extent {
            Extent::Tail => Log::bounded(TAIL),
            Extent::Whole => Log::default(),
        };
        self.logs.insert(id, log);
        self.builds.insert(id, Build::default());
        Effect::Follow(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_followed_once() {
        let (mut follows, one, two) = (Follows::default(), BuildId([1; 8]), BuildId([2; 8]));
        let want = |ids: &[(BuildId, Extent)]| ids.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(follows.want(want(&[(one, Extent::Tail)])), [Effect::Follow(one)]);
        assert_eq!(follows.want(want(&[(one, Extent::Tail)])), []);
        let more = follows.want(want(&[(one, Extent::Whole), (two, Extent::Tail)]));
        assert_eq!(more, [Effect::Unfollow(one), Effect::Follow(one), Effect::Follow(two)]);
        assert_eq!(follows.want(want(&[(one, Extent::Tail)])), [Effect::Unfollow(two)]);
        assert_eq!(follows.want(want(&[(one, Extent::Whole)])), []);
        assert_eq!(follows.again(), [Effect::Unfollow(one), Effect::Follow(one)]);
        assert!(follows.logs().contains_key(&one) && !follows.logs().contains_key(&two));
    }
}
