"""What the package adds."""

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_domains = gives({"clinic": "lightrec_clinic.parts:Clinic"})
lightrec_commands = gives({"clinic": "lightrec_clinic.parts:count"})
lightrec_encoders = gives({"LetterShares": "lightrec_clinic.parts:LetterShares"})
lightrec_rewards = gives({"Calm": "lightrec_clinic.parts:Calm"})
lightrec_simulators = gives({"Waiting": "lightrec_clinic.parts:Waiting"})
lightrec_policies = gives({"Habit": "lightrec_clinic.parts:Habit"})
lightrec_evaluators = gives({"Minors": "lightrec_clinic.parts:Minors"})
STAGE = {name: f"lightrec_clinic.stage:{name}" for name in ("MeanVisits", "VisitData")}
lightrec_components = gives({"Fading": "lightrec_clinic.parts:Fading", **STAGE})
