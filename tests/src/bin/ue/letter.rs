//! Shell: what the phone is to write: a text as it is (RFC 3428), or a short message over IP, through a service centre
//! (TS 24.341 5.3.1).

use anyhow::{Context as _, Result};
use ims_tests::card::identity::ServiceCentre;
use ims_tests::ue::UeEvent;
use ims_tests::ue::message::Rp;
use ims_tests::ue::talk::Text;

use crate::identity::Identity;
use crate::number::Target;
use crate::options::MessageOptions;
use crate::usage::Usage;

/// RP-Message-Reference: who writes one message at a time needs no other.
const REFERENCE: u8 = 1;

/// What is to be written, to whom, and how.
pub(crate) struct Letter {
    to: Target,
    text: String,
    way: Way,
}

enum Way {
    Plain,
    /// To this international number; through this service centre, or else through that of the card.
    Short {
        number: String,
        centre: Option<Target>,
    },
}

impl Letter {
    /// By the options: that it can be written is known before anything is done.
    ///
    /// # Errors
    /// When a short message has no international number, or is too long.
    pub(crate) fn new(options: &MessageOptions) -> Result<Self> {
        let way = match options.sms {
            false => Way::Plain,
            true => Way::Short {
                number: number_of(options)?,
                centre: options.service_centre.clone(),
            },
        };
        Ok(Self {
            to: options.to.clone(),
            text: options.text.clone(),
            way,
        })
    }

    /// The message, as this phone sends it.
    ///
    /// # Errors
    /// When nobody names a service centre.
    pub(crate) fn text(&self, identity: &Identity) -> Result<Text> {
        let home = &identity.names.home;
        let Way::Short { number, centre } = &self.way else {
            return Ok(Text::plain(&self.to.uri(home), &self.text));
        };
        let said = centre.as_ref().map(|centre| {
            let number = centre.international().unwrap_or_default();
            (centre.uri(home), number.to_owned())
        });
        let of_card = |card: &ServiceCentre| (card.psi.clone(), card.number.clone());
        let (psi, centre) = said
            .or_else(|| identity.service_centre.as_ref().map(of_card))
            .context(
                "there is no service centre: the card names none (EF_PSISMSC, EF_SMSP), or there is no card; say its \
                 number or URI with --service-centre",
            )?;
        Text::sms_text(&psi, &centre, number, REFERENCE, &self.text).context(TOO_LONG)
    }
}

const TOO_LONG: &str = "--sms: a short message has at most 70 characters";

fn number_of(options: &MessageOptions) -> Result<String> {
    let number = options.to.international().ok_or_else(|| {
        Usage::error("--sms: a short message goes to an international number: --to +15550002")
    })?;
    let fits = Text::sms_text("", "", number, REFERENCE, &options.text).is_some();
    match fits {
        true => Ok(number.to_owned()),
        false => Err(Usage::error(TOO_LONG)),
    }
}

/// What the service centre says of the message: whether it has taken it.
pub(crate) fn report(events: &[UeEvent]) -> Option<bool> {
    events.iter().find_map(|event| {
        let UeEvent::MessageReceived(received) = event else {
            return None;
        };
        match received.rp()? {
            Rp::Ack(REFERENCE) => Some(true),
            Rp::Error(REFERENCE) => Some(false),
            Rp::Data(_) | Rp::Ack(_) | Rp::Error(_) => None,
        }
    })
}
