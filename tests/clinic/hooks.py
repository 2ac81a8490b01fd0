"""What the package adds."""

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains():
    return {"clinic": "lightrec_clinic.domain:Clinic"}


@hookimpl
def lightrec_encoders():
    return {"LetterShares": "lightrec_clinic.encoder:LetterShares"}


@hookimpl
def lightrec_rewards():
    return {"Calm": "lightrec_clinic.reward:Calm"}


@hookimpl
def lightrec_simulators():
    return {
        "Waiting": "lightrec_clinic.simulator:Waiting",
        "Seats": "lightrec_clinic.simulator:Seats",
    }


@hookimpl
def lightrec_policies():
    return {"Habit": "lightrec_clinic.policy:Habit"}


@hookimpl
def lightrec_evaluators():
    return {"Minors": "lightrec_clinic.evaluator:Minors"}


@hookimpl
def lightrec_components():
    return {
        "Fading": "lightrec_clinic.tower:Fading",
        "MeanVisits": "lightrec_clinic.stage:MeanVisits",
        "VisitData": "lightrec_clinic.stage:VisitData",
    }


@hookimpl
def lightrec_commands():
    return {"clinic": "lightrec_clinic.command:count"}
