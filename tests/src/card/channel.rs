//! Testkit: commands to a card and their answers, whatever carries them.

use super::apdu::{ApduError, Command, Reply, StatusWord};

/// What carries APDUs to a card.
pub trait Transmit {
    /// Sends one command; what the card answers, with its status word.
    ///
    /// # Errors
    /// When the card or its reader is not there any more.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError>;

    /// What the card said when it was switched on (ETSI TS 102 221 6.3).
    fn atr(&self) -> &[u8];

    /// The protocol between reader and card is T=0: answers to commands with data are fetched.
    fn is_t0(&self) -> bool;
}

impl<T: Transmit + ?Sized> Transmit for &mut T {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
        (**self).transmit(command)
    }

    fn atr(&self) -> &[u8] {
        (**self).atr()
    }

    fn is_t0(&self) -> bool {
        (**self).is_t0()
    }
}

/// What is wrong with a reader, or with the service of readers. The text says what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReaderError {
    /// There is no service.
    #[error(
        "the PC/SC service does not run: install pcscd and start it (`systemctl start pcscd`, or `pcscd -f`)"
    )]
    NoService,
    /// There is no reader.
    #[error(
        "no card reader is connected: plug one in, and see with `pcsc_scan` whether pcscd has a driver for it"
    )]
    NoReader,
    /// No reader is called so.
    #[error("no card reader is called {wanted:?}; there is: {known}")]
    UnknownReader {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// More than one reader fits.
    #[error("more than one card reader is called {wanted:?}: {known}; say more of the name")]
    ManyReaders {
        /// What was asked for.
        wanted: String,
        /// What fits.
        known: String,
    },
    /// The reader is empty.
    #[error("there is no card in {0}: put it in, its contacts as the reader shows")]
    NoCard(String),
    /// The card has gone.
    #[error("the card was taken out of the reader")]
    Removed,
    /// The card does not answer.
    #[error("the card does not answer: clean its contacts, turn it, or try another reader")]
    Mute,
    /// Another program has the card for itself.
    #[error("another program uses the card: end it (a card manager, gpg's scdaemon)")]
    Shared,
    /// This user may not use the readers.
    #[error(
        "pcscd does not let this user use the card readers: run this as root, or allow it (polkit actions \
         org.debian.pcsc-lite.access_pcsc and access_card)"
    )]
    NotAllowed,
    /// Another.
    #[error("the card reader failed: {0}")]
    Other(String),
}

/// Why a card did not do what it was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CardError {
    /// The reader, or the card, is not there.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The card said something that is no answer.
    #[error("the card's answer to {what} is broken: {why}")]
    Broken {
        /// The command.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The card refused.
    #[error("the card refused {what}: {status}")]
    Refused {
        /// The command.
        what: &'static str,
        /// Its answer.
        status: StatusWord,
    },
    /// There is no application that a phone could use.
    #[error("the card has neither an ISIM nor a USIM: it is not from an operator of a 3G, 4G or 5G network")]
    NoApplication,
}

/// Octets that a reader has room for, in one piece of an answer.
pub const ANSWER_MAX: usize = 4_096;
/// How often the rest of one answer is fetched; a longer one is refused. Cards do with one or two.
pub const FETCHES_MAX: usize = 16;
/// Commands at most that one becomes: itself and each GET RESPONSE, all said again with the right length.
pub const EXCHANGES_MAX: usize = 2 * (1 + FETCHES_MAX);

/// The way to one card.
#[derive(Debug)]
pub struct Channel<T> {
    transmit: T,
}

impl<T: Transmit> Channel<T> {
    /// Over this.
    pub const fn new(transmit: T) -> Self {
        Self { transmit }
    }

    /// What the card said when it was switched on.
    pub fn atr(&self) -> &[u8] {
        self.transmit.atr()
    }

    /// The protocol is T=0.
    pub fn is_t0(&self) -> bool {
        self.transmit.is_t0()
    }

    /// Sends a command and fetches all of its answer: 6Cxx has it said again, 61xx is followed by GET RESPONSE
    /// (ETSI TS 102 221 7.3.1.1).
    ///
    /// # Errors
    /// When the card is gone, or says what is no answer. A refusal is an answer.
    pub fn send(&mut self, what: &'static str, command: &Command) -> Result<Reply, CardError> {
        let mut reply = self.corrected(what, command)?;
        let mut data = std::mem::take(&mut reply.data);
        let mut fetches = 0;
        while let Some(expected) = reply.status.to_fetch() {
            if fetches == FETCHES_MAX {
                return Err(broken(
                    what,
                    format!("after {fetches} pieces there is still more"),
                ));
            }
            fetches += 1;
            reply = self.corrected(what, &Command::get_response(expected))?;
            data.append(&mut reply.data);
        }
        Ok(Reply { data, ..reply })
    }

    /// The same; a refusal is an error.
    ///
    /// # Errors
    /// When the card refuses, is gone, or says what is no answer.
    pub fn ask(&mut self, what: &'static str, command: &Command) -> Result<Vec<u8>, CardError> {
        let reply = self.send(what, command)?;
        if reply.status.is_ok() {
            return Ok(reply.data);
        }
        let status = reply.status;
        Err(CardError::Refused { what, status })
    }

    /// Sends a command that must not be said twice: neither corrected nor fetched.
    ///
    /// # Errors
    /// When the card is gone, or says what is no answer. A refusal is an answer.
    pub fn send_once(&mut self, what: &'static str, command: &Command) -> Result<StatusWord, CardError> {
        self.exchange(what, command).map(|reply| reply.status)
    }

    /// Says a command again when the card tells the right length.
    fn corrected(&mut self, what: &'static str, command: &Command) -> Result<Reply, CardError> {
        let reply = self.exchange(what, command)?;
        let Some(expected) = reply.status.right_length() else {
            return Ok(reply);
        };
        let again = Command {
            expected: Some(expected),
            ..command.clone()
        };
        self.exchange(what, &again)
    }

    fn exchange(&mut self, what: &'static str, command: &Command) -> Result<Reply, CardError> {
        let octets = self.transmit.transmit(&command.encode(self.transmit.is_t0()))?;
        Reply::parse(&octets).map_err(|error: ApduError| broken(what, error.to_string()))
    }
}

/// The answer to this command is broken.
#[must_use]
pub const fn broken(what: &'static str, why: String) -> CardError {
    CardError::Broken { what, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card that knows its answers by heart.
    struct Script {
        answers: Vec<(Vec<u8>, Vec<u8>)>,
        is_t0: bool,
    }

    impl Transmit for Script {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ReaderError> {
            if self.answers.is_empty() {
                return Err(ReaderError::Removed);
            }
            let (expected, answer) = self.answers.remove(0);
            assert_eq!(command, expected);
            Ok(answer)
        }
        fn atr(&self) -> &[u8] {
            &[]
        }
        fn is_t0(&self) -> bool {
            self.is_t0
        }
    }

    fn channel(is_t0: bool, answers: &[(&[u8], &[u8])]) -> Channel<Script> {
        let owned = |(command, answer): &(&[u8], &[u8])| (command.to_vec(), answer.to_vec());
        Channel::new(Script {
            answers: answers.iter().map(owned).collect(),
            is_t0,
        })
    }

    const SELECT_MF: [u8; 7] = [0, 0xA4, 0, 4, 2, 0x3F, 0];

    #[test]
    fn a_chain_of_get_response_gives_one_answer() {
        let mut channel = channel(
            true,
            &[
                (&SELECT_MF, &[0x61, 0x03]),
                (&[0, 0xC0, 0, 0, 3], &[1, 2, 3, 0x61, 0x02]),
                (&[0, 0xC0, 0, 0, 2], &[4, 5, 0x90, 0x00]),
            ],
        );
        let answer = channel.ask("SELECT", &Command::select_file(0x3F00));
        assert_eq!(answer, Ok(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_wrong_length_is_corrected_once_in_the_command_and_in_get_response() {
        let read = Command::read_binary(0, 256);
        let mut once = channel(
            true,
            &[
                (&[0, 0xB0, 0, 0, 0], &[0x6C, 0x02]),
                (&[0, 0xB0, 0, 0, 2], &[7, 8, 0x90, 0x00]),
            ],
        );
        assert_eq!(once.ask("READ BINARY", &read), Ok(vec![7, 8]));
        let mut twice = channel(
            true,
            &[
                (&[0, 0xB0, 0, 0, 0], &[0x6C, 0x02]),
                (&[0, 0xB0, 0, 0, 2], &[0x6C, 0x03]),
            ],
        );
        let status = StatusWord(0x6C03);
        let what = "READ BINARY";
        assert_eq!(twice.ask(what, &read), Err(CardError::Refused { what, status }));
        let mut fetched = channel(
            true,
            &[
                (&SELECT_MF, &[0x61, 0x00]),
                (&[0, 0xC0, 0, 0, 0], &[0x6C, 0x01]),
                (&[0, 0xC0, 0, 0, 1], &[9, 0x90, 0x00]),
            ],
        );
        assert_eq!(fetched.ask("SELECT", &Command::select_file(0x3F00)), Ok(vec![9]));
    }

    #[test]
    fn a_card_that_announces_for_ever_is_stopped() {
        let get: &[u8] = &[0, 0xC0, 0, 0, 0];
        let long = [&[0; 256][..], &[0x61, 0x00]].concat();
        let mut answers = vec![(&SELECT_MF[..], &[0x61, 0x00][..])];
        answers.extend(std::iter::repeat_n((get, &long[..]), FETCHES_MAX));
        let error = channel(true, &answers).ask("SELECT", &Command::select_file(0x3F00));
        assert!(matches!(error, Err(CardError::Broken { .. })), "{error:?}");
    }

    #[test]
    fn an_answer_without_a_status_word_and_a_card_that_is_gone_are_errors() {
        let select = Command::select_file(0x3F00);
        let error = channel(true, &[(&SELECT_MF, &[0x90])]).ask("SELECT", &select);
        assert!(matches!(error, Err(CardError::Broken { .. })), "{error:?}");
        let error = channel(false, &[]).ask("SELECT", &select);
        assert_eq!(error, Err(CardError::Reader(ReaderError::Removed)));
    }
}
