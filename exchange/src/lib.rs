//! Moves trees and bytes between two stores, and from a client into one. What arrives is checked against its digest.
