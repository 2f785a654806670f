//! Shell: a card in a reader, by the PC/SC service.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use pcsc::{Context, Error, Protocol, Protocols, ReaderState, Scope, ShareMode, State};

use super::channel::{ANSWER_MAX, ReaderError, Transmit};

/// How long pcscd may take to notice that a card has come or gone: it looks a few times in a second, and when it was
/// started by our call it has to switch the card on first.
const NOTICE: Duration = Duration::from_secs(2);

/// Those of contacts.
const PROTOCOLS: Protocols = Protocols::T0.union(Protocols::T1);

/// How long other programs may have the card before it is said: card managers look at each card that is put in.
const OTHERS: Duration = Duration::from_secs(2);

/// A card in a reader, which no other program can use meanwhile: what it selected between two commands of ours would be
/// taken for what we have selected, and a PIN said to the wrong application costs a try.
pub struct PcscReader {
    context: Context,
    card: pcsc::Card,
    name: CString,
    atr: Vec<u8>,
    is_t0: bool,
}

impl PcscReader {
    /// The card in the reader with this name, or with the only one of which this is a part, in capital letters or
    /// small ones; where several have it in their names, the only one of them with a card. Without a name, the first
    /// reader with a card; where there is none, it has a moment to come.
    ///
    /// # Errors
    /// When there is no service, no such reader, or no card that answers.
    pub fn open(name: Option<&str>) -> Result<Self, ReaderError> {
        let context = establish()?;
        let slots = slots(&context)?;
        let slot = choose(name, &slots)?;
        let card = connect(&context, slot)?;
        let status = card.status2_owned();
        let status = status.map_err(|error| at_open(error, &context, slot))?;
        Ok(Self {
            atr: status.atr().to_vec(),
            is_t0: status.protocol2() != Some(Protocol::T1),
            name: slot.name.clone(),
            context,
            card,
        })
    }

    /// The reader's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// What has happened, when a command was not answered.
    fn after_failure(&self, error: Error) -> ReaderError {
        match meaning(error) {
            ReaderError::Mute if is_empty(&self.context, &self.name) => ReaderError::Removed,
            other => other,
        }
    }
}

impl Transmit for PcscReader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        let mut answer = vec![0; ANSWER_MAX];
        match self.card.transmit(command, &mut answer) {
            // The driver of a reader may call it success when the card goes before it answers.
            Ok([]) => Err(self.after_failure(Error::NotTransacted)),
            Ok(answer) => Ok(answer.to_vec()),
            Err(error) => Err(self.after_failure(error)),
        }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_t0(&self) -> bool {
        self.is_t0
    }
}

/// The names of all readers.
///
/// # Errors
/// When there is no service. No reader is no error.
pub fn readers() -> Result<Vec<String>, ReaderError> {
    let names = establish()?.list_readers_owned().map_err(meaning)?;
    Ok(names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

/// A reader, or a slot of one.
#[derive(Clone, Debug)]
struct Slot {
    /// As the service has it, which may be no UTF-8.
    name: CString,
    has_card: bool,
}

impl Slot {
    fn shown(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

fn establish() -> Result<Context, ReaderError> {
    Context::establish(Scope::User).map_err(meaning)
}

/// The card of a slot, for this program alone.
fn connect(context: &Context, slot: &Slot) -> Result<pcsc::Card, ReaderError> {
    let end = Instant::now() + OTHERS;
    loop {
        match context.connect(&slot.name, ShareMode::Exclusive, PROTOCOLS) {
            Err(Error::SharingViolation) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            connected => return connected.map_err(|error| at_open(error, context, slot)),
        }
    }
}

/// All readers, after a moment for a card to come when there is none.
fn slots(context: &Context) -> Result<Vec<Slot>, ReaderError> {
    let names = context.list_readers_owned().map_err(meaning)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let unaware = |name| ReaderState::new(name, State::UNAWARE);
    let mut states: Vec<ReaderState> = names.into_iter().map(unaware).collect();
    context
        .get_status_change(Duration::ZERO, &mut states)
        .map_err(meaning)?;
    if !states.iter().any(has_card) {
        states.iter_mut().for_each(ReaderState::sync_current_state);
        match context.get_status_change(NOTICE, &mut states) {
            Ok(()) | Err(Error::Timeout) => {}
            Err(error) => return Err(meaning(error)),
        }
    }
    Ok(states
        .iter()
        .map(|state| Slot {
            name: state.name().to_owned(),
            has_card: has_card(state),
        })
        .collect())
}

fn has_card(state: &ReaderState) -> bool {
    state.event_state().contains(State::PRESENT)
}

fn choose<'a>(wanted: Option<&str>, slots: &'a [Slot]) -> Result<&'a Slot, ReaderError> {
    if slots.is_empty() {
        return Err(ReaderError::NoReader);
    }
    let Some(wanted) = wanted else {
        let first = slots.iter().find(|slot| slot.has_card);
        return first.ok_or_else(|| ReaderError::NoCard(list(slots)));
    };
    if let Some(slot) = slots.iter().find(|slot| slot.shown() == wanted) {
        return Ok(slot);
    }
    let part = wanted.to_lowercase();
    let fits = |slot: &&Slot| slot.shown().to_lowercase().contains(&part);
    let fitting: Vec<&Slot> = slots.iter().filter(fits).collect();
    let with_card: Vec<&Slot> = fitting.iter().copied().filter(|slot| slot.has_card).collect();
    let wanted = wanted.to_owned();
    match (&fitting[..], &with_card[..]) {
        ([], _) => Err(ReaderError::UnknownReader {
            wanted,
            known: list(slots),
        }),
        ([slot], _) | (_, [slot]) => Ok(slot),
        (several, []) => Err(ReaderError::NoCard(list(several.iter().copied()))),
        (_, several) => Err(ReaderError::ManyReaders {
            wanted,
            known: list(several.iter().copied()),
        }),
    }
}

fn list<'a>(slots: impl IntoIterator<Item = &'a Slot>) -> String {
    let names: Vec<String> = slots.into_iter().map(Slot::shown).collect();
    names.join(", ")
}

/// What this means while a card is looked for in this reader.
fn at_open(error: Error, context: &Context, slot: &Slot) -> ReaderError {
    match meaning(error) {
        ReaderError::Removed => ReaderError::NoCard(slot.shown()),
        // It has just been taken out.
        ReaderError::Mute if is_empty(context, &slot.name) => ReaderError::NoCard(slot.shown()),
        other => other,
    }
}

/// There is no card any more, or soon there is none. What the service says of a card that vanishes while it works depends
/// on the driver of the reader; but soon it notices, and that is waited for.
fn is_empty(context: &Context, reader: &CStr) -> bool {
    let mut states = [ReaderState::new(reader, State::UNAWARE)];
    for _ in 0..3 {
        // The first answer comes at once, the next when something has changed.
        match context.get_status_change(NOTICE, &mut states) {
            Ok(()) => {}
            Err(Error::Timeout) => return false,
            Err(_) => return true,
        }
        let [state] = &mut states;
        if !has_card(state) {
            return true;
        }
        state.sync_current_state();
    }
    false
}

fn meaning(error: Error) -> ReaderError {
    match error {
        Error::NoService | Error::ServiceStopped | Error::Shutdown => ReaderError::NoService,
        Error::NoReadersAvailable | Error::ReaderUnavailable | Error::UnknownReader => ReaderError::NoReader,
        Error::RemovedCard | Error::NoSmartcard => ReaderError::Removed,
        Error::UnresponsiveCard
        | Error::UnpoweredCard
        | Error::UnsupportedCard
        | Error::NotTransacted
        | Error::CommError
        | Error::CommDataLost
        | Error::Timeout => ReaderError::Mute,
        Error::SharingViolation => ReaderError::Shared,
        Error::SecurityViolation | Error::NoAccess => ReaderError::NotAllowed,
        other => ReaderError::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &[u8], has_card: bool) -> Slot {
        Slot {
            name: CString::new(name).unwrap(),
            has_card,
        }
    }

    fn chosen(wanted: Option<&str>, slots: &[Slot]) -> Result<String, ReaderError> {
        choose(wanted, slots).map(Slot::shown)
    }

    #[test]
    fn without_a_name_the_first_reader_with_a_card_is_taken() {
        let slots = [
            slot(b"Omnikey 00", false),
            slot(b"SCM 00", true),
            slot(b"Other 00", true),
        ];
        assert_eq!(chosen(None, &slots).as_deref(), Ok("SCM 00"));
        let empty = [slot(b"Omnikey 00", false), slot(b"SCM 00", false)];
        let none = ReaderError::NoCard("Omnikey 00, SCM 00".to_owned());
        assert_eq!(chosen(None, &empty), Err(none));
        assert_eq!(chosen(None, &[]), Err(ReaderError::NoReader));
        assert_eq!(chosen(Some("SCM"), &[]), Err(ReaderError::NoReader));
    }

    #[test]
    fn a_whole_name_goes_before_a_part_of_one() {
        let slots = [slot(b"SCM 0", false), slot(b"SCM", false), slot(b"Omnikey", true)];
        assert_eq!(chosen(Some("SCM"), &slots).as_deref(), Ok("SCM"));
        assert_eq!(chosen(Some("omni"), &slots).as_deref(), Ok("Omnikey"));
    }

    #[test]
    fn of_the_slots_of_one_reader_the_one_with_the_card_is_meant() {
        let one = [
            slot(b"Virtual PCD 00 00", true),
            slot(b"Virtual PCD 00 01", false),
        ];
        assert_eq!(chosen(Some("Virtual"), &one).as_deref(), Ok("Virtual PCD 00 00"));
        let both = [slot(b"Virtual PCD 00 00", true), slot(b"Virtual PCD 00 01", true)];
        let many = ReaderError::ManyReaders {
            wanted: "Virtual".to_owned(),
            known: "Virtual PCD 00 00, Virtual PCD 00 01".to_owned(),
        };
        assert_eq!(chosen(Some("Virtual"), &both), Err(many));
        let none = [slot(b"Virtual 0", false), slot(b"Virtual 1", false)];
        let empty = ReaderError::NoCard("Virtual 0, Virtual 1".to_owned());
        assert_eq!(chosen(Some("Virtual"), &none), Err(empty));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones_even_when_they_are_no_utf_8() {
        let slots = [slot(b"Leser \xFC", true)];
        let unknown = ReaderError::UnknownReader {
            wanted: "Omnikey".to_owned(),
            known: "Leser \u{FFFD}".to_owned(),
        };
        assert_eq!(chosen(Some("Omnikey"), &slots), Err(unknown));
        assert_eq!(choose(Some("leser"), &slots).unwrap().name, slots[0].name);
    }

    #[test]
    fn what_the_service_says_is_said_in_plain_words() {
        assert_eq!(meaning(Error::NoService), ReaderError::NoService);
        assert_eq!(meaning(Error::UnresponsiveCard), ReaderError::Mute);
        assert_eq!(meaning(Error::SharingViolation), ReaderError::Shared);
        assert_eq!(meaning(Error::SecurityViolation), ReaderError::NotAllowed);
        assert_eq!(meaning(Error::RemovedCard), ReaderError::Removed);
        let other = meaning(Error::NoMemory);
        assert_eq!(
            other,
            ReaderError::Other("Not enough memory available to complete this command".to_owned())
        );
    }
}
