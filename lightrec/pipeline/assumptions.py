"""The stage that asks what the result owes to the named assumptions.

Each assumption is halved and doubled, reward and policy are learned anew, and the policy is judged
in user model B under the same assumption. Each such cell is a small run folder of its own.
"""
