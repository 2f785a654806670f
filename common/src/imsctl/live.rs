//! Engine: the screen of a live trace: what has come, where one looks, and what keys do; drawn by ratatui.

use std::collections::{BTreeMap, VecDeque};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::ladder::{self, Places, Rung, Step};
use super::paper::{cut, moment};
use crate::why::Entry;
use crate::why::entry::Way;

/// Lines that are kept; the oldest go.
const LINES_MAX: usize = 5_000;
/// Characters of a filter.
const FILTER_MAX: usize = 60;

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Live {
    title: String,
    places: Places,
    lines: VecDeque<Shown>,
    /// While paused: what has come since.
    held: VecDeque<Shown>,
    is_paused: bool,
    /// Lines below the last one on the screen; 0 follows what comes.
    back: usize,
    filter: String,
    /// What is being typed.
    typing: Option<String>,
    /// Nodes and what became of them.
    nodes: BTreeMap<String, String>,
    began: Option<u64>,
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Shown {
    text: String,
    /// Where filters look: without capitals.
    lower: String,
    is_trouble: bool,
}

/// A key, as far as it means something here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
}

/// Whether the screen stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Stay,
    Quit,
}

impl Live {
    /// An empty screen.
    pub(super) fn new(title: &str, places: Places) -> Self {
        Self {
            title: title.to_owned(),
            places,
            ..Self::default()
        }
    }

    /// What became of a node: `following`, or why not.
    pub(super) fn node(&mut self, name: &str, state: &str) {
        self.nodes.insert(name.to_owned(), state.to_owned());
    }

    /// A step at a node. What one node said to another is shown by the one that heard it.
    pub(super) fn push(&mut self, entry: &Entry) -> Option<String> {
        if self.is_told_by_another(entry) {
            return None;
        }
        let rung = ladder::rung(entry, &self.places);
        let began = *self.began.get_or_insert(entry.at);
        let shown = Shown::of(&rung, began);
        let text = shown.text.clone();
        match self.is_paused {
            true => keep(&mut self.held, shown, &mut self.forgotten),
            false => {
                keep(&mut self.lines, shown, &mut self.forgotten);
                if self.back > 0 {
                    // The lines that one looks at stay where they are.
                    self.back = (self.back + 1).min(LINES_MAX);
                }
            }
        }
        Some(text)
    }

    fn is_told_by_another(&self, entry: &Entry) -> bool {
        let Some(sip) = entry.sip().filter(|sip| sip.way == Way::Said) else {
            return false;
        };
        let to = self.places.get(&sip.peer).filter(|node| **node != entry.node);
        to.is_some_and(|node| self.nodes.get(&**node).is_some_and(|state| state == FOLLOWING))
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key, page: usize) -> Turn {
        if let Some(text) = self.typing.take() {
            self.type_into(text, key);
            return Turn::Stay;
        }
        match key {
            Key::Char('q') | Key::Escape => return Turn::Quit,
            Key::Char(' ') => self.pause(),
            Key::Char('/') => self.typing = Some(self.filter.clone()),
            Key::Char('c') => {
                self.lines.clear();
                self.began = None;
                self.back = 0;
            }
            Key::Up | Key::Char('k') => self.look_back(1),
            Key::Down | Key::Char('j') => self.back = self.back.saturating_sub(1),
            Key::PageUp => self.look_back(page),
            Key::PageDown => self.back = self.back.saturating_sub(page),
            Key::Home | Key::Char('g') => self.look_back(LINES_MAX),
            Key::End | Key::Char('G') => self.back = 0,
            Key::Char(_) | Key::Enter | Key::Backspace => {}
        }
        Turn::Stay
    }

    fn type_into(&mut self, mut text: String, key: Key) {
        match key {
            Key::Enter => {
                self.filter = text;
                self.back = 0;
                return;
            }
            Key::Escape => return,
            Key::Backspace => {
                text.pop();
            }
            Key::Char(letter) if text.chars().count() < FILTER_MAX => text.push(letter),
            _ => {}
        }
        self.typing = Some(text);
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused {
            for line in std::mem::take(&mut self.held) {
                keep(&mut self.lines, line, &mut self.forgotten);
            }
            self.back = 0;
        }
    }

    fn look_back(&mut self, lines: usize) {
        let count = self.wanted().count();
        self.back = (self.back + lines).min(count.saturating_sub(1));
    }

    fn wanted(&self) -> impl Iterator<Item = &Shown> {
        let filter = self.filter.to_lowercase();
        let is_wanted = move |line: &&Shown| filter.is_empty() || line.lower.contains(&filter);
        self.lines.iter().filter(is_wanted)
    }

    /// Draws it all.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
        let [top, middle, bottom] = Layout::vertical(rows).areas(frame.area());
        let width = usize::from(top.width);
        let head = cut(&self.head(), width);
        frame.render_widget(Paragraph::new(Line::from(head).bold().reversed()), top);
        let height = usize::from(middle.height);
        let wanted: Vec<&Shown> = self.wanted().collect();
        let end = wanted.len().saturating_sub(self.back);
        let first = end.saturating_sub(height);
        let shown = wanted.get(first..end).unwrap_or_default();
        let lines = shown.iter().map(|line| {
            let style = match line.is_trouble {
                true => Style::new().fg(Color::Red),
                false => Style::new(),
            };
            Line::styled(cut(&line.text, width), style)
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), middle);
        frame.render_widget(Paragraph::new(Line::from(cut(&self.foot(), width)).dim()), bottom);
    }

    fn head(&self) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|(node, state)| match state == FOLLOWING {
                true => ladder::node_name(node),
                false => format!("{} ({state})", ladder::node_name(node)),
            })
            .collect();
        let began = self
            .began
            .map_or(String::new(), |at| format!("  from {}", moment(at)));
        format!(" {}  {}{began} ", self.title, nodes.join(" "))
    }

    fn foot(&self) -> String {
        if let Some(text) = &self.typing {
            return format!("/{text}_");
        }
        let mut parts = vec!["q quits, space pauses, / filters, arrows scroll, c clears".to_owned()];
        if self.is_paused {
            parts.push(format!("paused, {} more", self.held.len()));
        }
        if !self.filter.is_empty() {
            parts.push(format!("filter `{}`", self.filter));
        }
        if self.back > 0 {
            parts.push(format!("{} lines back", self.back));
        }
        if self.forgotten > 0 {
            parts.push(format!("{} old lines forgotten", self.forgotten));
        }
        parts.join("  |  ")
    }
}

/// The state of a node whose steps come.
pub(super) const FOLLOWING: &str = "following";

impl Shown {
    fn of(rung: &Rung, began: u64) -> Self {
        let names = match &rung.step {
            Step::Message { .. } => ladder::name_width(std::slice::from_ref(rung)),
            Step::Remark { .. } => 6,
        };
        let text = ladder::line(rung, began, names);
        Self {
            lower: text.to_lowercase(),
            text,
            is_trouble: rung.is_trouble,
        }
    }
}

fn keep(lines: &mut VecDeque<Shown>, line: Shown, forgotten: &mut u64) {
    lines.push_back(line);
    if lines.len() > LINES_MAX {
        lines.pop_front();
        *forgotten += 1;
    }
}

#[cfg(test)]
mod tests;
