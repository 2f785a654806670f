//! Table: sets of security associations by number, by UE, by the UE's ports and SPIs.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ims_common::identity::Impi;
use ims_common::ipsec::{SaSet, SaSetId};
use ims_common::net::ConnectionId;
use ims_common::node::{NumberMap, give_back};
use smallvec::SmallVec;

use super::super::spi::{OwnSpis, SpiTable};
use super::{Agreement, OwnNumbers, Stage, UeEnd};

/// A few sets, the oldest first.
pub(super) type Ids = SmallVec<[SaSetId; 2]>;

/// One UE: a subscription behind one address. Two subscriptions behind one address are two, and so is one behind two.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct UeKey {
    pub(super) impi: Impi,
    pub(super) ip: IpAddr,
}

/// One set.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) set: Arc<SaSet>,
    pub(super) key: UeKey,
    pub(super) end: UeEnd,
    pub(super) own: OwnNumbers,
    pub(super) stage: Stage,
    /// The set that the challenged REGISTER came over.
    pub(super) carried_by: Option<SaSetId>,
    pub(super) expires_at: Instant,
    /// When the UE last said something over it.
    pub(super) heard_at: Instant,
    /// CSeq of the last REGISTER that was granted over it, and when.
    pub(super) granted: Option<(u32, Instant)>,
    /// As long as the UE has to repeat it.
    pub(super) agreement: Option<Box<Agreement>>,
    /// Streams that something came over.
    pub(super) connections: SmallVec<[ConnectionId; 2]>,
}

impl Entry {
    /// Whether this set and one with that end, of the same UE, cannot both be: the UE's server port is the same for
    /// all, our client port tells them apart there (TS 33.203 7.1).
    ///
    /// *Deviates*: over UDP the UE's client port may be the same too, since some handsets keep it. Nothing is sent
    /// to it over UDP, and what comes from it comes by an SPI of its own.
    pub(super) fn collides_with(&self, end: &UeEnd, may_share_client_port: bool) -> bool {
        let own = &self.end;
        (end.port_uc == own.port_uc && !may_share_client_port)
            || end.port_uc == own.port_us
            || end.port_us == own.port_uc
            || [own.spi_uc, own.spi_us].contains(&end.spi_uc)
            || [own.spi_uc, own.spi_us].contains(&end.spi_us)
    }

    pub(super) fn spis(&self) -> OwnSpis {
        OwnSpis {
            pc: self.own.spi_pc,
            ps: self.own.spi_ps,
        }
    }

    fn ports(&self) -> [SocketAddr; 2] {
        [self.end.port_uc, self.end.port_us].map(|port| SocketAddr::new(self.key.ip, port))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct SaTable {
    sets: NumberMap<SaSetId, Box<Entry>>,
    by_ue: HashMap<UeKey, Ids>,
    by_port: HashMap<SocketAddr, Ids>,
    by_ue_spi: HashMap<(IpAddr, u32), Ids>,
    /// SPIs of sets that the kernel has been asked to remove.
    leaving: NumberMap<SaSetId, OwnSpis>,
    pub(super) spis: SpiTable,
    counts: [u64; Stage::LABELS.len()],
    last_id: u64,
}

impl SaTable {
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn fresh_id(&mut self) -> SaSetId {
        self.last_id += 1;
        SaSetId(self.last_id)
    }

    pub(super) fn get(&self, id: SaSetId) -> Option<&Entry> {
        self.sets.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: SaSetId) -> Option<&mut Entry> {
        self.sets.get_mut(&id).map(Box::as_mut)
    }

    /// The sets of one UE, the oldest first.
    pub(super) fn of_ue(&self, key: &UeKey) -> impl Iterator<Item = (SaSetId, &Entry)> {
        self.all(self.by_ue.get(key))
    }

    /// The sets with this port of a UE at either end.
    pub(super) fn at_port(&self, port: SocketAddr) -> impl Iterator<Item = (SaSetId, &Entry)> {
        self.all(self.by_port.get(&port))
    }

    /// Sets of others at the address of a UE that have one of these ports or SPIs.
    pub(super) fn rivals(&self, key: &UeKey, end: &UeEnd) -> Ids {
        let ports = [end.port_uc, end.port_us]
            .map(|port| SocketAddr::new(key.ip, port))
            .into_iter()
            .flat_map(|port| self.at_port(port).collect::<SmallVec<[_; 2]>>());
        let spis = [end.spi_uc, end.spi_us]
            .into_iter()
            .flat_map(|spi| self.all(self.by_ue_spi.get(&(key.ip, spi))));
        ports
            .chain(spis)
            .filter(|(_, entry)| entry.key != *key)
            .map(|(id, _)| id)
            .collect()
    }

    pub(super) fn insert(&mut self, id: SaSetId, entry: Entry) {
        for port in entry.ports() {
            remember(&mut self.by_port, port, id);
        }
        for spi in [entry.end.spi_uc, entry.end.spi_us] {
            remember(&mut self.by_ue_spi, (entry.key.ip, spi), id);
        }
        remember(&mut self.by_ue, entry.key.clone(), id);
        self.counts[entry.stage.number()] += 1;
        self.sets.insert(id, Box::new(entry));
    }

    /// Takes a set out. Its SPIs stay in use until [`Self::left`].
    pub(super) fn take(&mut self, id: SaSetId) -> Option<Box<Entry>> {
        let entry = self.sets.remove(&id)?;
        give_back(&mut self.sets);
        self.counts[entry.stage.number()] -= 1;
        for port in entry.ports() {
            forget(&mut self.by_port, &port, id);
        }
        for spi in [entry.end.spi_uc, entry.end.spi_us] {
            forget(&mut self.by_ue_spi, &(entry.key.ip, spi), id);
        }
        forget(&mut self.by_ue, &entry.key, id);
        self.leaving.insert(id, entry.spis());
        Some(entry)
    }

    /// The kernel has nothing more of a set.
    pub(super) fn left(&mut self, id: SaSetId) {
        if let Some(spis) = self.leaving.remove(&id) {
            self.spis.free(spis);
            give_back(&mut self.leaving);
        }
    }

    /// A set enters a stage.
    pub(super) fn set_stage(&mut self, id: SaSetId, stage: Stage) {
        if let Some(entry) = self.sets.get_mut(&id) {
            self.counts[entry.stage.number()] -= 1;
            self.counts[stage.number()] += 1;
            entry.stage = stage;
        }
    }

    /// How many sets are in each stage, as [`Stage::LABELS`] has them.
    pub(super) fn counts(&self) -> [u64; Stage::LABELS.len()] {
        self.counts
    }

    fn all<'a>(&'a self, ids: Option<&'a Ids>) -> impl Iterator<Item = (SaSetId, &'a Entry)> {
        ids.into_iter()
            .flatten()
            .filter_map(|id| Some((*id, self.get(*id)?)))
    }
}

fn remember<K: Eq + Hash>(index: &mut HashMap<K, Ids>, key: K, id: SaSetId) {
    let ids = index.entry(key).or_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, Ids>, key: &K, id: SaSetId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|known| *known != id);
        if ids.is_empty() {
            index.remove(key);
            give_back(index);
        }
    }
}
