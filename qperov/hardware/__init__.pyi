from .jobs.backend import Backend as Backend
from .plan.options import Options as Options
