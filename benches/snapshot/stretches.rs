//! Stretches of time with a snapshot in the middle, and without.
//!
//! What a snapshot delays shows as a gap: the time between two outcomes that follow one another,
//! and between two puts, which wait for the room that outcomes free. Without a snapshot a gap is as
//! long as the server lets it be; whatever stops the sink's worker makes one longer.

use std::time::{Duration, Instant};

use crate::rig::times::Times;
use crate::rig::{Failure, clock};
use crate::writing::{Instants, Writing};

/// Each side of the snapshot.
const HALF: Duration = Duration::from_millis(150);

/// What happens in the middle of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    Snapshot,
    /// A snapshot, and its bytes made on a thread for what blocks.
    Bytes,
}

struct Stretch {
    act: Act,
    from: Instant,
    to: Instant,
    held: Option<usize>,
    bytes: Option<usize>,
    snapshot: Option<Duration>,
    to_bytes: Option<Duration>,
    outcome_gaps: Vec<Duration>,
    put_gaps: Vec<Duration>,
}

#[derive(Default)]
pub(crate) struct Stretches(Vec<Stretch>);

/// Of all stretches of a kind.
pub(crate) struct Costs {
    /// Writes in each snapshot.
    pub(crate) held: Vec<f64>,
    /// Of each snapshot.
    pub(crate) bytes: Vec<f64>,
    pub(crate) snapshot: Times,
    pub(crate) to_bytes: Times,
    pub(crate) outcomes: Gaps,
    pub(crate) puts: Gaps,
}

/// Times between what follows one another.
pub(crate) struct Gaps {
    pub(crate) all: Times,
    /// The longest of each stretch.
    pub(crate) longest: Times,
}

impl Act {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Snapshot, Self::Bytes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Snapshot => "snapshot",
            Self::Bytes => "with bytes",
        }
    }
}

impl Stretches {
    /// Lets one pass.
    pub(crate) async fn add(&mut self, act: Act, writing: &Writing) -> Result<(), Failure> {
        let from = clock::instant();
        tokio::time::sleep(HALF).await;
        let mut stretch = Stretch {
            act,
            from,
            to: from,
            held: None,
            bytes: None,
            snapshot: None,
            to_bytes: None,
            outcome_gaps: Vec::new(),
            put_gaps: Vec::new(),
        };
        if act != Act::Nothing {
            let asked = clock::instant();
            let snapshot = writing.table().snapshot().await?;
            stretch.snapshot = Some(asked.elapsed());
            stretch.held = Some(snapshot.len());
            if act == Act::Bytes {
                let (bytes, took) = tokio::task::spawn_blocking(move || {
                    let began = clock::instant();
                    let bytes = snapshot.to_bytes().len();
                    (bytes, began.elapsed())
                })
                .await?;
                stretch.bytes = Some(bytes);
                stretch.to_bytes = Some(took);
            }
        }
        tokio::time::sleep(HALF).await;
        stretch.to = clock::instant();
        self.0.push(stretch);
        Ok(())
    }

    /// Gives each stretch the gaps that ended in it.
    pub(crate) fn assign(&mut self, instants: &Instants) {
        for stretch in &mut self.0 {
            let within = |instants: &[Instant]| {
                gaps(instants)
                    .filter(|(end, _)| stretch.from <= *end && *end < stretch.to)
                    .map(|(_, gap)| gap)
                    .collect()
            };
            stretch.outcome_gaps = within(&instants.outcomes);
            stretch.put_gaps = within(&instants.puts);
        }
    }

    pub(crate) fn of(&self, act: Act) -> Costs {
        let of_kind = || self.0.iter().filter(move |stretch| stretch.act == act);
        let count = |count: Option<usize>| count.map(|count| count as f64);
        Costs {
            held: of_kind().filter_map(|s| count(s.held)).collect(),
            bytes: of_kind().filter_map(|s| count(s.bytes)).collect(),
            snapshot: of_kind().filter_map(|s| s.snapshot).collect(),
            to_bytes: of_kind().filter_map(|s| s.to_bytes).collect(),
            outcomes: Gaps::of(of_kind().map(|s| &s.outcome_gaps)),
            puts: Gaps::of(of_kind().map(|s| &s.put_gaps)),
        }
    }
}

impl Gaps {
    fn of<'a>(stretches: impl Iterator<Item = &'a Vec<Duration>> + Clone) -> Self {
        let longest = |gaps: &Vec<Duration>| gaps.iter().max().copied().unwrap_or_default();
        Self {
            all: stretches.clone().flatten().copied().collect(),
            longest: stretches.map(longest).collect(),
        }
    }

    /// Returns by how many milliseconds the longest gaps are longer here, typically or at worst.
    pub(crate) fn beyond(&self, undisturbed: &Self, share: f64) -> f64 {
        self.longest.at(share) - undisturbed.longest.at(share)
    }
}

/// Returns each gap with its end.
fn gaps(instants: &[Instant]) -> impl Iterator<Item = (Instant, Duration)> {
    let pairs = instants.iter().zip(instants.iter().skip(1));
    pairs.map(|(a, b)| (*b, b.saturating_duration_since(*a)))
}
