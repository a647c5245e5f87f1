"""Made-up English reviews of an app, varied enough that a model can be unsure: praise, complaints, and both in one."""

import numpy as np
import pandas as pd

THINGS = {
    "login": ("logging in", "the login", "signing in with my phone number", "the one-time code", "face unlock"),
    "speed": ("the loading time", "how fast it opens", "switching between pages", "the start screen", "scrolling"),
    "money": (
        "sending money",
        "topping up",
        "the fees",
        "withdrawing to my bank",
        "the exchange rate",
        "paying a bill",
    ),
    "help": ("customer support", "the chat with support", "the help page", "getting a refund", "the support team"),
    "look": ("the design", "dark mode", "the new layout", "the menu", "the charts", "the font size"),
    "update": ("the latest update", "version 4", "the last release", "the new home page", "what they changed in June"),
    "alerts": ("the notifications", "price alerts", "the daily e-mails", "reminders", "the ads between screens"),
}
GOOD = (
    "{thing} is better than I expected", "I really like {thing}", "{thing} works every single time",
    "honestly {thing} saves me an hour a week", "{thing} is smooth now", "no problems with {thing} so far",
    "{thing} could not be simpler", "my parents use it too and {thing} never confuses them",
    "finally an app where {thing} just works", "they fixed {thing} within a day, impressive",
    "{thing} alone is worth installing it", "never had to think twice about {thing}",
    "I was sceptical, but {thing} won me over", "{thing} beats every other app I tried",
)  # fmt: skip
BAD = (
    "{thing} is broken again", "I gave up because of {thing}", "{thing} fails three times out of four",
    "lost a whole evening to {thing}", "{thing} got worse", "nobody answers when {thing} goes wrong",
    "{thing} makes no sense at all", "it froze twice, and {thing} was the reason",
    "still waiting for somebody to fix {thing}", "{thing} used to be fine and is useless now",
    "uninstalled it, {thing} is a joke", "how can anybody release this? {thing} does not work",
    "I expected more, {thing} is a let-down", "every other app does {thing} better",
)  # fmt: skip
PRAISE = ("love it", "five stars", "great app", "well done", "highly recommended", "good", "keep it up", "so handy")
BLAME = ("waste of time", "one star", "terrible", "do not install", "disappointed", "bad", "please fix", "not again")
OPENINGS = ("", "", "", "After two weeks: ", "Update: ", "On my old phone, ", "To be fair, ", "Day three. ", "ok so ")
ENDINGS = ("", "", "", " on Android 14", " since Monday", ", at least for me", " tbh", " 🙂", " 😡", "!!!", "...")
LINKS = (" but ", ", although ", "; still, ", ". Then again ", " and yet ")


def english_reviews(count: int, seed: int) -> pd.DataFrame:
    """Reviews with review_text and rating: one in five says both, one in twelve has stars against its words."""
    random = np.random.default_rng(seed)

    def pick(among: tuple[str, ...]) -> str:
        return among[random.integers(len(among))]

    def sentence(*, good: bool) -> str:
        return pick(GOOD if good else BAD).format(thing=pick(THINGS[pick(tuple(THINGS))]))

    rows = []
    for _ in range(count):
        good = bool(random.random() < 0.55)
        parts = [sentence(good=good)]
        both = random.random() < 0.2
        if both:  # what comes last counts
            parts = [sentence(good=not good) + pick(LINKS) + parts[0]]
        elif random.random() < 0.4:
            parts.append(sentence(good=good))
        if random.random() < 0.3:
            parts.insert(int(random.integers(len(parts) + 1)), pick(PRAISE if good else BLAME))
        text = pick(OPENINGS) + ". ".join(parts) + pick(ENDINGS)
        if random.random() < 0.25:
            text = text.lower()
        stars = (4, 5, 5) if good else (1, 1, 2)
        if random.random() < (0.3 if both else 0.05):
            stars = (3,)
        elif random.random() < 1 / 12:
            stars = (5,) if not good else (1,)
        rows.append((text, int(stars[random.integers(len(stars))])))
    return pd.DataFrame(rows, columns=["review_text", "rating"]).drop_duplicates("review_text", ignore_index=True)
