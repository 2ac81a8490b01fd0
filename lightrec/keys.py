"""The names that travel between lightrec's parts: columns of logs and keys of TensorDicts.

Every part reads and writes these names and no others, so that a plugin's reader, simulator or
policy fits the rest without translation. Nothing heavy is imported here.

Item indices: 0 is padding, 1 to N are the items of a prepared log, N + 1 stands for "chose nothing"
where a log records it.
"""

from typing import Final

PADDING: Final = 0
"""The item index that fills histories up on the left."""


class Column:
    """Column names of the canonical log, catalog and user tables, and of recommendations."""

    USER: Final = "user"
    ITEM: Final = "item"
    TIME: Final = "time"
    FEEDBACK: Final = "feedback"
    VALUE: Final = "value"
    COUNT: Final = "count"
    SESSION: Final = "session"
    IMPRESSION: Final = "impression"
    POSITION: Final = "position"
    PROPENSITY: Final = "propensity"
    CANDIDATES: Final = "candidates"
    TITLE: Final = "title"
    TEXT: Final = "text"
    KNOWN_EVENTS: Final = "known_events"
    """Number of the user's events that a list of recommendations was made from."""
    RANKED_BY: Final = "ranked_by"
    """Part of what is known of a person by which a list of recommendations was ranked."""


class Key:
    """Keys of batches and of simulator states (shapes for a batch of B users)."""

    HISTORY: Final = "history"
    """(B, L) int64: the last L steps, oldest first, padded on the left."""
    TARGET: Final = "target"
    """(B, L) int64 in training: the item that followed each position; (B,) in evaluation."""
    SEEN: Final = "seen"
    """(B, S) int64: items that may not be ranked, padded with 0 in any place."""
    REACHED: Final = "reached"
    """(B, L) int64 in training, in a log with a goal: the history's item where its event makes it
    seen, else 0."""
    ASKED: Final = "asked"
    """(B, L) int64 in training: what kind of event the target of each position was, as FEEDBACK."""
    FEEDBACK: Final = "feedback"
    """(B, L) int64: what kind of event each step of the history was, 1 to the number of kinds in
    the log; 0 at padding and where it is not known."""
    GAP: Final = "gap"
    """(B, L) int64: bucket of the time between each step of the history and the user's step before
    it, see :mod:`lightrec.data.sequences`; 0 at padding, at a user's first step and where it is not
    known."""
    TIME: Final = "time"
    """(B, L) int64: milliseconds since 1970 UTC of each step of the history; 0 where it is not
    known. Only where a domain reads what people did."""
    SO_FAR: Final = "so_far"
    """(B,) int64: number of a history's last steps that belong to the session so far."""
    SHOWN: Final = "shown"
    """(B, S) int64: items that the session has shown, padded with 0 in any place."""
    END: Final = "end"
    """(B,) int64: where the history ends among the log's events; that event is not in it."""
    USER: Final = "user"
    """(B,) int64: row of the user table."""
    PROFILE: Final = "profile"
    """(B, G) float32: features of attributes of people who may not be in the user table, see
    :mod:`lightrec.data.attributes`."""
    CANDIDATES: Final = "candidates"
    """(B, C) int64: what the user could choose from, padded on the right."""
    CHOICE: Final = "choice"
    """(B,) int64: the slot chosen, 0 to C - 1, or C for nothing."""
    WEIGHT: Final = "weight"
    """(B,) float32: how much a row counts; of one of a step's outcomes, how likely it was."""
    MASK: Final = "mask"
    """(B, N + 1) bool: which items may be shown now; column 0 is always False."""
    ACTION: Final = "action"
    """(B, K) int64: the slate, items in the order shown."""
    TAKEN: Final = "taken"
    """(B, K) bool: which items of the last slate were taken: none, one, or several."""
    VALUE: Final = "value"
    """(B, K) float32: what each item taken was worth, in the unit of a log's values; else 0."""
    STEP: Final = "step"
    """(B, 1) int64: slates shown so far in the session."""
    ACCEPTED: Final = "accepted"
    """(B, 1) float32: how many items were accepted in the last step."""
    ACCEPTED_TOTAL: Final = "accepted_total"
    """(B, 1) float32: items accepted so far in the session."""
    SESSION: Final = "session"
    """(B, 1) int64: the number from which all of a session's chance is computed."""
    LOG_PROBABILITY: Final = "action_log_prob"
    """(B,) float32: of the slate shown, in its order."""
    USER_VECTOR: Final = "user_vector"
    """(B, D) float32."""
    OBSERVATION: Final = "observation"
    """(B, F) float32: what a world lets policies see of its users beside the keys above."""
    UNCERTAINTY: Final = "uncertainty"
    """(B, 1) float32: how little a learned simulator knew of how the last slate would be answered;
    only where its user model has several members."""
    ABSORBING: Final = "absorbing"
    """(B, 1) bool: the session is over in truth, and stands in a state from which nothing leads;
    only where endings are played on, see ``ending`` of simulators."""
    PAST: Final = "past"
    """A nested TensorDict: what people did, by which a simulator asks what may be shown to them."""
    LATENT: Final = "latent"
    """A nested TensorDict: what only a world knows of its users; no policy may read it."""
    TRUE_REWARD: Final = "true_reward"
    """(B, 1) float32: only in worlds whose truth is known, for evaluation only."""
