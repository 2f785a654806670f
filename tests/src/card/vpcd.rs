//! Shell: a virtual card in a virtual reader: the one of vsmartcard-vpcd, a driver of pcscd.
//!
//! The driver listens on a TCP port, and the card connects to it. A message is its length in two octets, then so many
//! octets: one of them is about the card's power, more are an APDU, which the card answers with a message.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::SockRef;

use super::virtual_card::{Answer, VirtualCard};

/// Where Debian's configuration of the driver listens.
pub const ADDRESS: &str = "127.0.0.1:35963";
/// Between two tries to find a reader.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// How long pcscd may take to take notice of a card. It looks every 0.4 s, and a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A card in a virtual reader. It is taken out when this value goes away.
#[derive(Debug)]
pub struct Attached {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    card: Mutex<VirtualCard>,
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    stream: Option<TcpStream>,
    /// What pcscd has seen of the card since it was put in.
    noticed: Noticed,
}

impl Slot {
    fn hang_up(&mut self) {
        self.noticed = Noticed::No;
        if let Some(stream) = self.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    In,
    Out,
    /// It is never put in again.
    Away,
}

/// What pcscd does with a card that it finds: it switches it on, asks for its ATR, then tells its clients of it; and
/// asks for the ATR again when it looks the next time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Noticed {
    No,
    On,
    Atr,
    Known,
}

impl Attached {
    /// Puts a card into the reader that listens there.
    ///
    /// # Errors
    /// When no reader does.
    pub fn start(address: SocketAddr, card: VirtualCard) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("no virtual card reader listens on {address}"))?;
        let shared = Arc::new(Shared {
            address,
            card: Mutex::new(card),
            slot: Mutex::new(Slot {
                place: Place::In,
                stream: None,
                noticed: Noticed::No,
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("virtual card".to_owned())
            .spawn(move || of_thread.run(Some(stream)))?;
        let thread = Some(thread);
        Ok(Self { shared, thread })
    }

    /// The same, and waits until pcscd has told its clients of the card.
    ///
    /// # Errors
    /// When no reader listens, or pcscd takes no notice.
    pub fn start_and_wait(address: SocketAddr, card: VirtualCard) -> Result<Self> {
        let attached = Self::start(address, card)?;
        attached.wait_known()?;
        Ok(attached)
    }

    /// Waits until pcscd has told its clients of the card.
    ///
    /// # Errors
    /// When it takes no notice.
    pub fn wait_known(&self) -> Result<()> {
        let is_unknown = |slot: &mut Slot| slot.noticed != Noticed::Known;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.slot(), PATIENCE, is_unknown);
        let (slot, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(slot);
        if timeout.timed_out() {
            bail!("pcscd took no notice of the card within {PATIENCE:?}");
        }
        Ok(())
    }

    /// The card itself, while it is where it is.
    pub fn card(&self) -> MutexGuard<'_, VirtualCard> {
        self.shared.card()
    }

    /// Takes the card out.
    pub fn remove(&self) {
        self.shared.card().remove();
        self.shared.put(Place::Out);
    }

    /// Puts the card in again when it is out; pcscd notices it a little later.
    pub fn insert(&self) {
        if self.shared.card().is_removed() {
            self.shared.card().insert();
            self.shared.put(Place::In);
        }
    }
}

/// Keeps a card in the reader that listens there, for people: until it is taken out by one of its faults. What happens is
/// told to `say`, a sentence at a time.
///
/// # Errors
/// When the system has no thread for it.
pub fn serve(address: SocketAddr, card: VirtualCard, mut say: impl FnMut(&str)) -> Result<()> {
    let mut is_told = false;
    let attached = loop {
        if TcpStream::connect(address).is_ok() {
            break Attached::start(address, card)?;
        }
        if !std::mem::replace(&mut is_told, true) {
            say(&format!(
                "no virtual card reader listens on {address} yet: install pcscd and vsmartcard-vpcd, and start pcscd"
            ));
        }
        std::thread::sleep(LONG_PAUSE);
    };
    say(&format!("the card is in the reader at {address}"));
    let mut is_known = false;
    let mut slot = attached.shared.slot();
    while slot.place == Place::In {
        let is_now = slot.noticed == Noticed::Known;
        if is_now != std::mem::replace(&mut is_known, is_now) {
            say(if is_now {
                "pcscd knows it: try `ue card show`"
            } else {
                "pcscd is gone; the card waits for it"
            });
        }
        let waited = attached.shared.changed.wait(slot);
        slot = waited.unwrap_or_else(PoisonError::into_inner);
    }
    say("the card was taken out");
    Ok(())
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.put(Place::Away);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn card(&self) -> MutexGuard<'_, VirtualCard> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the card, unless it is away; the thread leaves its connection when there is one.
    fn put(&self, place: Place) {
        let mut slot = self.slot();
        if slot.place != Place::Away {
            slot.place = place;
        }
        slot.hang_up();
        drop(slot);
        self.changed.notify_all();
    }

    /// The life of the card: connected while it is in, until it is away.
    fn run(&self, mut connected: Option<TcpStream>) {
        loop {
            let slot = self.slot();
            // Taken out before its first word.
            connected = connected.filter(|_| slot.place == Place::In);
            let is_out = |slot: &mut Slot| slot.place == Place::Out;
            let slot = self.changed.wait_while(slot, is_out);
            if slot.unwrap_or_else(PoisonError::into_inner).place == Place::Away {
                return;
            }
            let stream = connected.take().map_or_else(|| self.connect(), Ok);
            match stream.and_then(|stream| self.talk(stream)) {
                Ok(End::Removed) => self.put(Place::Out),
                // The driver is not there, or not any more: perhaps later.
                Ok(End::Closed) | Err(_) => self.pause(),
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address)
    }

    /// The connection is over, and the next try to connect comes a little later.
    fn pause(&self) {
        let mut slot = self.slot();
        slot.hang_up();
        self.changed.notify_all();
        let is_in = |slot: &mut Slot| slot.place == Place::In;
        drop(self.changed.wait_timeout_while(slot, PAUSE, is_in));
    }

    /// One connection, from end to end.
    fn talk(&self, mut stream: TcpStream) -> io::Result<End> {
        stream.set_nodelay(true)?;
        {
            let mut slot = self.slot();
            if slot.place != Place::In {
                return Ok(End::Closed);
            }
            slot.stream = Some(stream.try_clone()?);
            slot.noticed = Noticed::No;
        }
        while let Some(message) = receive(&mut Prompt(&stream))? {
            let answer = match message {
                Message::Power(on) => {
                    self.card().reset();
                    self.notice(if on { Noticed::On } else { Noticed::No });
                    continue;
                }
                Message::Unknown => continue,
                Message::Atr => {
                    let atr = self.card().atr().to_vec();
                    send(&mut stream, &atr)?;
                    self.notice_atr();
                    continue;
                }
                Message::Apdu(command) => self.card().answer(&command),
            };
            match answer {
                Answer::Octets(octets) => send(&mut stream, &octets)?,
                Answer::Gone => return Ok(End::Removed),
            }
        }
        Ok(End::Closed)
    }

    /// A card that is known stays so when it is switched off and on.
    fn notice(&self, noticed: Noticed) {
        let mut slot = self.slot();
        if slot.noticed != Noticed::Known {
            slot.noticed = noticed;
        }
    }

    fn notice_atr(&self) {
        let mut slot = self.slot();
        slot.noticed = match slot.noticed {
            Noticed::No => Noticed::No,
            Noticed::On => Noticed::Atr,
            Noticed::Atr | Noticed::Known => Noticed::Known,
        };
        drop(slot);
        self.changed.notify_all();
    }
}

/// How a connection ends.
enum End {
    /// From the other side, or by somebody who moves the card.
    Closed,
    /// The card has gone while it worked.
    Removed,
}

/// What the driver says.
#[derive(Debug, Eq, PartialEq)]
enum Message {
    /// On, which a reset is too, or off. It is not answered.
    Power(bool),
    /// It wants the ATR.
    Atr,
    /// It means nothing. It is not answered.
    Unknown,
    Apdu(Vec<u8>),
}

/// Reads what the driver says, and acknowledges it at once: the driver sends a length and what is so long in two pieces,
/// and its kernel waits with the second one until it knows that the first has arrived (RFC 1122 4.2.3.4).
struct Prompt<'a>(&'a TcpStream);

impl io::Read for Prompt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.0;
        let read = stream.read(buffer)?;
        // Not for good: the kernel takes it back.
        SockRef::from(stream).set_tcp_quickack(true)?;
        Ok(read)
    }
}

/// The next message; `None` when the other side has closed.
fn receive(stream: &mut impl io::Read) -> io::Result<Option<Message>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(Some(match message[..] {
        [0] => Message::Power(false),
        [1 | 2] => Message::Power(true),
        [4] => Message::Atr,
        [] | [_] => Message::Unknown,
        _ => Message::Apdu(message),
    }))
}

fn send(stream: &mut impl io::Write, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend(answer);
    stream.write_all(&message)?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::apdu::{Command, instruction};
    use super::super::virtual_card::{CardProfile, Fault};
    use super::*;

    const IMSI: &str = "001010000000001";

    /// The driver's side of a connection.
    struct Driver {
        listener: TcpListener,
        stream: TcpStream,
    }

    impl Driver {
        /// With this card in it.
        fn with(card: VirtualCard) -> (Self, Attached) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let attached = Attached::start(listener.local_addr().unwrap(), card).unwrap();
            let stream = accepted(&listener);
            (Self { listener, stream }, attached)
        }

        /// The card has been put in again.
        fn accept(&mut self) {
            self.stream = accepted(&self.listener);
        }

        fn say(&mut self, message: &[u8]) {
            send(&mut self.stream, message).unwrap();
        }

        /// What the card answers; `None` when it has gone.
        fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
            use std::io::Read as _;
            send(&mut self.stream, message).ok()?;
            let mut length = [0; 2];
            self.stream.read_exact(&mut length).ok()?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            self.stream.read_exact(&mut answer).unwrap();
            Some(answer)
        }
    }

    fn accepted(listener: &TcpListener) -> TcpStream {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    #[test]
    fn power_is_not_answered_and_the_atr_and_commands_are() {
        let card = VirtualCard::new(CardProfile::new(IMSI).pin("1234", 3));
        let (mut driver, attached) = Driver::with(card.clone());
        driver.say(&[1]);
        assert_eq!(driver.ask(&[4]).as_deref(), Some(card.atr()));
        let right = Command::verify(1, b"1234").encode(true);
        assert_eq!(driver.ask(&right), Some(vec![0x90, 0x00]));
        let select = Command::select_application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x04]).encode(true);
        assert_eq!(driver.ask(&select).unwrap()[0], 0x61);
        let read = [0x00, 0xB0, 0x87, 0x00, 0x01];
        assert_eq!(driver.ask(&read).unwrap().last(), Some(&0x00));
        // A reset, and neither the file nor the PIN is there any more.
        driver.say(&[2]);
        driver.say(&[9]);
        assert_eq!(driver.ask(&select).unwrap()[0], 0x61);
        assert_eq!(driver.ask(&read), Some(vec![0x69, 0x82]));
        assert_eq!(attached.card().counted(instruction::VERIFY), 1);
    }

    #[test]
    fn a_card_is_known_when_the_driver_asks_for_the_second_time_after_switching_it_on() {
        let (mut driver, attached) = Driver::with(VirtualCard::new(CardProfile::new(IMSI)));
        driver.ask(&[4]);
        driver.ask(&[4]);
        assert_eq!(attached.shared.slot().noticed, Noticed::No);
        driver.say(&[1]);
        driver.ask(&[4]);
        driver.ask(&[4]);
        attached.wait_known().unwrap();
        driver.say(&[0]);
        driver.ask(&[4]);
        assert_eq!(attached.shared.slot().noticed, Noticed::Known);
    }

    #[test]
    fn a_card_that_goes_at_authenticate_closes_and_comes_again_when_it_is_put_in() {
        let profile = CardProfile::new(IMSI).fault(Fault::RemovedAtAuthenticate);
        let (mut driver, attached) = Driver::with(VirtualCard::new(profile));
        let authenticate = Command::authenticate(&[0; 16], &[0; 16]).encode(true);
        assert_eq!(driver.ask(&authenticate), None);
        assert!(attached.card().is_removed());
        attached.insert();
        driver.accept();
        assert!(driver.ask(&[4]).is_some());
        assert_eq!(attached.card().counted(instruction::AUTHENTICATE), 1);
    }

    #[test]
    fn a_card_that_is_taken_out_closes_and_one_whose_driver_ends_waits_for_another() {
        let (mut driver, attached) = Driver::with(VirtualCard::new(CardProfile::new(IMSI)));
        attached.remove();
        assert_eq!(driver.ask(&[4]), None);
        attached.insert();
        driver.accept();
        driver.stream.shutdown(Shutdown::Both).unwrap();
        driver.accept();
        assert!(driver.ask(&[4]).is_some());
        drop(attached);
        assert_eq!(driver.ask(&[4]), None);
    }

    #[test]
    fn where_no_reader_listens_the_address_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let failed = Attached::start(address, VirtualCard::new(CardProfile::new(IMSI))).unwrap_err();
        assert!(failed.to_string().contains(&address.to_string()), "{failed}");
    }
}
