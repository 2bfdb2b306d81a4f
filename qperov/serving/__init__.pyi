from .stored_model import load_model as load_model
