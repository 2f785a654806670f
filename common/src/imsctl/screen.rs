//! Shell: a live trace: the streams of all nodes, the terminal, the keyboard.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use futures_util::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::ladder::Places;
use super::live::{FOLLOWING, Key, Live, Turn};
use super::nodes::{Named, Nodes};
use super::outcome::{Outcome, Problem};
use crate::shell::admin::client::{Client, path};
use crate::why::Entry;

/// Steps that may wait to be drawn.
const WAITING_MAX: usize = 4_096;
/// The screen is drawn no more often than this.
const FRAME: Duration = Duration::from_millis(50);

/// What nodes send.
enum News {
    Step(Box<Entry>),
    State { node: String, state: String },
}

/// What is wanted.
pub(super) struct Wish<'a> {
    pub(super) who: Option<&'a str>,
    pub(super) is_plain: bool,
    pub(super) is_json: bool,
    pub(super) duration: Option<Duration>,
}

/// Follows until told to end.
pub(super) async fn run(nodes: &Nodes, wish: &Wish<'_>) -> Result<Outcome, Problem> {
    let named = nodes.by_name().await?;
    let mut places = Places::new();
    for Named { row, .. } in &named {
        places.extend(row.sip.iter().map(|at| (*at, row.node.clone().into())));
    }
    let title = wish.who.map_or_else(|| "everybody".to_owned(), str::to_owned);
    let mut live = Live::new(&title, places);
    let (sender, news) = mpsc::channel(WAITING_MAX);
    let mut query: Vec<(&str, &str)> = wish.who.iter().map(|who| ("who", *who)).collect();
    query.push(("scope", nodes.scope()));
    let wanted = path("/api/v1/trace", &query);
    for client in &nodes.clients {
        let own = named
            .iter()
            .find(|named| named.client.endpoint() == client.endpoint());
        let node = own.map_or_else(|| client.endpoint().to_string(), Named::name);
        tokio::spawn(follow(node, client.clone(), wanted.clone(), sender.clone()));
    }
    drop(sender);
    for named in &named {
        live.node(&named.row.node, FOLLOWING);
    }
    let end = wish.duration.map(|duration| Instant::now() + duration);
    let has_screen = stdout().is_terminal() && io::stdin().is_terminal();
    let ended = match wish.is_plain || wish.is_json || !has_screen {
        true => lines(live, news, end, wish.is_json).await,
        false => screen(live, news, end).await,
    };
    ended.map_err(|error| Problem::Failed(format!("the terminal does not work ({error}); try --plain")))
}

/// One node's stream.
async fn follow(node: String, client: Client, wanted: String, news: mpsc::Sender<News>) {
    let mut events = match client.follow(&wanted).await {
        Ok(events) => events,
        Err(error) => {
            let state = error.to_string();
            return drop(news.send(News::State { node, state }).await);
        }
    };
    loop {
        match events.next().await {
            Ok(Some(data)) => {
                // What a newer node says and we do not know is left out.
                if let Ok(entry) = serde_json::from_str(&data)
                    && news.send(News::Step(Box::new(entry))).await.is_err()
                {
                    return;
                }
            }
            Ok(None) => {
                let state = "it ended the stream".to_owned();
                return drop(news.send(News::State { node, state }).await);
            }
            Err(error) => {
                let state = error.to_string();
                return drop(news.send(News::State { node, state }).await);
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// A line for each step.
async fn lines(
    mut live: Live,
    mut news: mpsc::Receiver<News>,
    end: Option<Instant>,
    is_json: bool,
) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    loop {
        let next = tokio::select! {
            next = news.recv() => next,
            () = until(end) => return Ok(outcome),
            _ = tokio::signal::ctrl_c() => return Ok(outcome),
        };
        let line = match next {
            None => return Ok(outcome),
            Some(News::State { node, state }) => {
                live.node(&node, &state);
                outcome.complaints.push(format!("{node}: {state}"));
                continue;
            }
            Some(News::Step(entry)) if is_json => serde_json::to_string(&entry).ok(),
            Some(News::Step(entry)) => live.push(&entry),
        };
        if let Some(line) = line {
            let mut out = stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
    }
}

/// The terminal as it was, whatever happens.
struct Raw;

impl Raw {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        let raw = Self;
        crossterm::execute!(stdout(), EnterAlternateScreen)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = crossterm::execute!(stdout(), LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

async fn screen(mut live: Live, mut news: mpsc::Receiver<News>, end: Option<Instant>) -> io::Result<Outcome> {
    let _raw = Raw::enter()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    let mut keys = EventStream::new();
    let mut has_ended = false;
    let mut next_frame = Instant::now();
    loop {
        tokio::select! {
            next = news.recv(), if !has_ended => match next {
                None => has_ended = true,
                Some(News::Step(entry)) => drop(live.push(&entry)),
                Some(News::State { node, state }) => live.node(&node, &state),
            },
            event = keys.next() => match event {
                Some(Ok(event)) => {
                    let page = usize::from(terminal.size()?.height.saturating_sub(3));
                    if turn(&mut live, &event, page) == Turn::Quit {
                        return Ok(Outcome::default());
                    }
                    next_frame = Instant::now();
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(Outcome::default()),
            },
            () = until(end) => return Ok(Outcome::default()),
            () = sleep_until(next_frame + FRAME) => {}
        }
        if Instant::now() >= next_frame {
            terminal.draw(|frame| live.draw(frame))?;
            next_frame = Instant::now() + FRAME;
        }
    }
}

fn turn(live: &mut Live, event: &Event, page: usize) -> Turn {
    let Event::Key(key) = event else { return Turn::Stay };
    if key.kind == KeyEventKind::Release {
        return Turn::Stay;
    }
    let key = match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Turn::Quit,
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return Turn::Stay,
    };
    live.key(key, page)
}
